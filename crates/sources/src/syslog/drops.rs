//! What the kernel dropped of datagrams before anybody could read them.

/// Datagrams to a port that the kernel had no room for, of all sockets bound to it (`/proc/net/udp`).
pub(super) fn kernel_drops(port: u16) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| {
                    let mut words = line.split_ascii_whitespace();
                    let local = words.nth(1)?.rsplit(':').next()?;
                    (u16::from_str_radix(local, 16) == Ok(port))
                        .then(|| words.last()?.parse::<u64>().ok())?
                })
                .collect::<Vec<_>>()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::kernel_drops;
    use std::net::UdpSocket;

    #[test]
    fn drops_are_read_by_port() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("opens");
        let port = socket.local_addr().expect("bound").port();
        assert_eq!(kernel_drops(port), 0);
        // More than any buffer has room for, and nobody reads.
        let sent = (0..20_000).filter(|_| socket.send_to(&[0; 1000], ("127.0.0.1", port)).is_ok());
        assert_eq!(sent.count(), 20_000);
        assert!(kernel_drops(port) > 0);
    }
}
