//! How often an address may say a word that lets nobody in.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use model::Timestamp;

/// Words that failed, of one address within the time.
const TRIES_MAX: u32 = 10;
const SECONDS: i64 = 60;
/// Addresses that are remembered; the one that failed longest ago makes room.
const ADDRESSES_MAX: usize = 1024;

/// Addresses whose words failed.
#[derive(Default)]
pub(super) struct Tries(Mutex<BTreeMap<IpAddr, (u32, Timestamp)>>);

impl Tries {
    /// Whether an address may try.
    pub(super) fn may(&self, address: SocketAddr, now: Timestamp) -> bool {
        let tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = tries.get(&neighbourhood(address.ip()));
        failed.is_none_or(|(count, since)| *count < TRIES_MAX || is_over(*since, now))
    }

    /// It tried, and failed.
    pub(super) fn failed(&self, address: SocketAddr, now: Timestamp) {
        let mut tries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = neighbourhood(address.ip());
        if !tries.contains_key(&key) && tries.len() >= ADDRESSES_MAX {
            let oldest = tries.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                tries.remove(&oldest);
            }
        }
        let failed = tries.entry(key).or_insert((0, now));
        if is_over(failed.1, now) {
            *failed = (0, now);
        }
        failed.0 += 1;
    }
}

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    now >= since.plus_seconds(SECONDS)
}

/// Whoever has one address of IPv6 has a network of them.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESSES_MAX, TRIES_MAX, Tries};
    use model::Timestamp;
    use std::net::{Ipv6Addr, SocketAddr};

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn at(address: &str) -> SocketAddr {
        SocketAddr::from((address.parse::<std::net::IpAddr>().expect("an address"), 1))
    }

    #[test]
    fn ten_words_a_minute_fail_and_others_are_not_held_up() {
        let tries = Tries::default();
        let evil = at("2001:db8::1");
        for _ in 0..TRIES_MAX {
            assert!(tries.may(evil, NOW));
            tries.failed(evil, NOW);
        }
        assert!(!tries.may(evil, NOW.plus_seconds(59)));
        assert!(!tries.may(at("2001:db8::2"), NOW));
        assert!(tries.may(at("2001:db8:0:1::1"), NOW));
        assert!(tries.may(at("192.0.2.7"), NOW));
        assert!(tries.may(evil, NOW.plus_seconds(60)));
        tries.failed(evil, NOW.plus_seconds(60));
        assert!(tries.may(evil, NOW.plus_seconds(61)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let tries = Tries::default();
        for network in 0..ADDRESSES_MAX as u128 * 2 {
            let address = Ipv6Addr::from(network << 64);
            tries.failed(SocketAddr::from((address, 1)), NOW);
        }
        assert_eq!(tries.0.lock().expect("a lock").len(), ADDRESSES_MAX);
    }
}
