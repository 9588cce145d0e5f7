//! Addresses and networks: who is a proxy, who is the client.

use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    address: IpAddr,
    bits: u8,
}

/// The text is no address or network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address or network")]
pub struct NoNetwork;

impl FromStr for IpNetwork {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| NoNetwork)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            Err(NoNetwork)
        } else {
            Ok(Self { address, bits })
        }
    }
}

impl IpNetwork {
    /// Tells whether the network holds an address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// The client: the right-most of the forwarded addresses and the peer that is no trusted proxy.
///
/// Without trusted proxies that is the peer: whoever connects can write any header.
pub(crate) fn client<'a>(
    peer: &Cow<'a, str>,
    forwarded: &str,
    trusted: &[IpNetwork],
) -> Cow<'a, str> {
    let is_trusted = |text: &str| {
        text.parse()
            .is_ok_and(|address| trusted.iter().any(|network| network.contains(address)))
    };
    if trusted.is_empty() || !is_trusted(peer) {
        return peer.clone();
    }
    forwarded
        .rsplit(',')
        .map(str::trim)
        .find(|address| !address.is_empty() && !is_trusted(address))
        .map_or_else(|| peer.clone(), |address| Cow::Owned(address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{IpNetwork, client};
    use std::borrow::Cow;

    #[track_caller]
    fn check(peer: &str, forwarded: &str, trusted: &[&str], expected: &str) {
        let trusted: Vec<IpNetwork> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(client(&Cow::Borrowed(peer), forwarded, &trusted), expected);
    }

    #[test]
    fn the_client_is_the_right_most_address_nobody_vouches_for() {
        check("10.0.0.1", "203.0.113.9", &[], "10.0.0.1");
        check("10.0.0.1", "203.0.113.9", &["10.0.0.0/8"], "203.0.113.9");
        check(
            "10.0.0.1",
            "6.6.6.6, 203.0.113.9, 10.0.0.7",
            &["10.0.0.0/8"],
            "203.0.113.9",
        );
        check(
            "198.51.100.1",
            "203.0.113.9",
            &["10.0.0.0/8"],
            "198.51.100.1",
        );
        check("::1", "", &["::1"], "::1");
    }
}
