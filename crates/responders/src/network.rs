//! An address or a network, and whether it holds one that must never be refused: one place for every action that turns somebody away.
//!
//! IPv4 is compared within IPv6 (RFC 4291 §2.5.5.2), so that both ways of writing one address are one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{Argument, ParameterKind};

use crate::{ActionError, Host};

/// An address or network as packets have it: an IPv4 address that was written as IPv6 is IPv4, bits beyond its length are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads one; the whole of the internet is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let read = Argument::read(ParameterKind::Network, text).ok()?;
        let (address, bits) = match read.as_str().split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().ok()?)),
            None => (read.as_str(), None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.unwrap_or(width(address));
        Some(match (address, bits.checked_sub(96)) {
            (IpAddr::V6(new), Some(fewer @ 1..)) => match new.to_ipv4_mapped() {
                Some(old) => Self {
                    address: IpAddr::V4(old),
                    bits: fewer,
                },
                None => Self { address, bits },
            },
            _ => Self { address, bits },
        })
    }

    /// Its first address.
    pub(crate) const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits of it count, of 32 or of 128.
    pub(crate) const fn bits(self) -> u32 {
        self.bits
    }

    /// A network of an address of its own and a number of bits.
    pub(crate) fn of(address: IpAddr, bits: u32) -> Option<Self> {
        Self::read(&format!("{address}/{bits}"))
    }

    /// The bits that count, as an address.
    pub(crate) fn mask(self) -> IpAddr {
        let ones = u128::MAX.checked_shl(128 - self.bits).unwrap_or_default();
        match self.address {
            IpAddr::V4(_) => {
                let ones = u32::MAX.checked_shl(32 - self.bits).unwrap_or_default();
                IpAddr::V4(Ipv4Addr::from(ones))
            }
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(ones)),
        }
    }

    /// Whether some address is of both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let ((one, bits), (other, other_bits)) = (self.whole(), other.whole());
        let shorter = bits.min(other_bits);
        let mask = u128::MAX.checked_shl(128 - shorter).unwrap_or_default();
        one & mask == other & mask
    }

    /// Whether packets of `other` are its own, too.
    pub(crate) fn holds(self, other: Self) -> bool {
        let is_of_one_kind = self.address.is_ipv4() == other.address.is_ipv4();
        is_of_one_kind && self.bits <= other.bits && self.overlaps(other)
    }

    /// As a network of IPv6.
    fn whole(self) -> (u128, u32) {
        match self.address {
            IpAddr::V4(address) => (u128::from(address.to_ipv6_mapped()), self.bits + 96),
            IpAddr::V6(address) => (u128::from(address), self.bits),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.address) {
            true => write!(out, "{}", self.address),
            false => write!(out, "{}/{}", self.address, self.bits),
        }
    }
}

const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Refuses a network that holds a proxy of the host's settings.
pub(crate) fn spare_proxies(host: &Host, network: &Argument) -> Result<(), ActionError> {
    let nginx = host.settings.nginx.as_ref();
    let proxies = nginx.map(|nginx| nginx.proxies.as_slice());
    spare(proxies.unwrap_or_default(), network)
}

/// Refuses a network that has an address in common with one of these, behind which others are.
pub(crate) fn spare(others: &[String], network: &Argument) -> Result<(), ActionError> {
    for other in others {
        let read = Network::read(other).ok_or_else(|| ActionError::NotSetUp {
            what: format!("`{other}`, which is never to be blocked, is no network"),
        })?;
        let is_met = Network::read(network.as_str()).is_none_or(|network| network.overlaps(read));
        if is_met {
            return Err(ActionError::Refused {
                why: format!(
                    "{network} holds {read}, a proxy: everybody behind it would be refused"
                ),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Network;
    use proptest::prelude::*;
    use std::net::IpAddr;

    #[track_caller]
    fn check(one: &str, other: &str, expected: bool) {
        let read = |text| Network::read(text).expect("a network");
        let (first, second) = (read(one), read(other));
        assert_eq!(first.overlaps(second), expected, "{one} {other}");
        assert_eq!(second.overlaps(first), expected, "{other} {one}");
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        check("192.0.2.7", "192.0.2.0/24", true);
        check("192.0.2.7", "192.0.2.7", true);
        check("192.0.2.7", "192.0.2.8", false);
        check("192.0.3.0/24", "192.0.2.0/24", false);
        check("192.0.0.0/8", "192.0.2.0/24", true);
        check("2001:db8::/32", "2001:db8::1", true);
        check("2001:db8::/32", "2001:db9::1", false);
        check("32.1.13.184", "2001:db8::/32", false);
        check("::ffff:192.0.2.7", "192.0.2.0/24", true);
        check("::/1", "192.0.2.7", true);
    }

    #[track_caller]
    fn reads(text: &str, expected: Option<&str>, mask: &str) {
        let read = Network::read(text);
        assert_eq!(read.map(|read| read.to_string()).as_deref(), expected);
        let told = read.map(|read| read.mask().to_string());
        assert_eq!(told.unwrap_or_default(), mask, "{text}");
    }

    #[test]
    fn a_network_is_as_packets_have_it() {
        reads("192.0.2.7/24", Some("192.0.2.0/24"), "255.255.255.0");
        reads("192.0.2.7/32", Some("192.0.2.7"), "255.255.255.255");
        reads("::ffff:192.0.2.7", Some("192.0.2.7"), "255.255.255.255");
        reads("::ffff:c000:200/120", Some("192.0.2.0/24"), "255.255.255.0");
        reads("2001:DB8::1/33", Some("2001:db8::/33"), "ffff:ffff:8000::");
        // All of IPv4 written as IPv6 is no network of IPv4's, and no packet has such an address.
        reads(
            "::ffff:0:0/96",
            Some("::ffff:0.0.0.0/96"),
            "ffff:ffff:ffff:ffff:ffff:ffff::",
        );
        for none in [
            "",
            "0.0.0.0/0",
            "192.0.2.7/33",
            "192.0.2.7 drop",
            "::/129",
            "@v4_32",
        ] {
            reads(none, None, "");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(address: IpAddr, bits in 1_u32..=128) {
            if let Some(read) = Network::read(&format!("{address}/{bits}")) {
                prop_assert_eq!(Network::read(&read.to_string()), Some(read));
                prop_assert_eq!(Network::of(read.address(), read.bits()), Some(read));
                prop_assert!(read.holds(read) && read.overlaps(read));
            }
        }

        #[test]
        fn any_text_is_a_network_or_none(text: String) {
            let read = Network::read(&text);
            prop_assert!(read.is_none_or(|read| (1..=128).contains(&read.bits())));
        }
    }
}
