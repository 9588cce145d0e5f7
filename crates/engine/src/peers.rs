//! Which hosts the shop itself asks its database from: everybody stands behind them, so they name nobody.
//!
//! Apart from judging because it is one small thing to learn. A host on which Magento runs issues Magento's own statements on
//! listed tables over connection after connection; who took a password and connects from elsewhere doesn't, however often.
//! Invariant: what was the shop's once stays so until a new start; no number of strangers takes its place.

use std::collections::{BTreeMap, BTreeSet};

use model::{Actor, ActorKind, Category, Event, Field};

/// Different connections with statements of Magento's own after which a host is the shop's.
const CONNECTIONS_MIN: usize = 4;
/// Hosts that are remembered; one that isn't known to be the shop's makes room, and where all are, a new one isn't taken.
const PEERS_MAX: usize = 4_096;

/// What is known of hosts that ask the database.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    connections: BTreeMap<String, BTreeSet<i64>>,
}

impl Peers {
    /// Learns from an event; gives the host that just turned out to be the shop's.
    pub(crate) fn note(&mut self, event: &Event<'_>) -> Option<Actor> {
        if event.category != Category::Database
            || event.text(Field::ShapeKnown) != Some("known")
            || event.text(Field::StatementClass) != Some("select")
        {
            return None;
        }
        let host: std::net::IpAddr = event.text(Field::DbHost)?.parse().ok()?;
        let (host, connection) = (host.to_string(), event.int(Field::ConnectionId)?);
        if !self.connections.contains_key(&host) && self.connections.len() >= PEERS_MAX {
            let unknown = |seen: &BTreeSet<i64>| seen.len() < CONNECTIONS_MIN;
            let mut hosts = self.connections.iter();
            let goes = hosts
                .find(|(_, seen)| unknown(seen))
                .map(|(host, _)| host.clone())?;
            self.connections.remove(&goes);
        }
        let seen = self.connections.entry(host.clone()).or_default();
        let before = seen.len();
        if before >= CONNECTIONS_MIN || !seen.insert(connection) || seen.len() < CONNECTIONS_MIN {
            return None;
        }
        Some(Actor {
            kind: ActorKind::Address,
            value: host,
        })
    }

    /// Whether a host is the shop's.
    pub(crate) fn is_shops(&self, address: &str) -> bool {
        let seen = self.connections.get(address);
        seen.is_some_and(|seen| seen.len() >= CONNECTIONS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::Peers;
    use model::{Category, Event, Field, Value};

    fn event(host: &str, connection: i64, known: &'static str) -> Event<'static> {
        let mut event = Event::new(Category::Database);
        event.put(Field::DbHost, Value::Text(host.to_owned().into()));
        event.put(Field::ConnectionId, Value::Int(connection));
        event.put_text(Field::ShapeKnown, known);
        event.put_text(Field::StatementClass, "select");
        event
    }

    #[track_caller]
    fn check(events: &[(&str, i64, &'static str)], expected: &[&str]) {
        let mut peers = Peers::default();
        let told = events
            .iter()
            .filter_map(|(host, connection, known)| peers.note(&event(host, *connection, known)));
        let told: Vec<String> = told.map(|actor| actor.value).collect();
        assert_eq!(told, expected);
        assert!(expected.iter().all(|host| peers.is_shops(host)));
    }

    #[test]
    fn a_host_with_magentos_statements_over_many_connections_is_the_shops() {
        let of = |host, count| (1..=count).map(move |number| (host, number, "known"));
        check(&Vec::from_iter(of("10.0.0.5", 9)), &["10.0.0.5"]);
        check(&Vec::from_iter(of("10.0.0.5", 3)), &[]);
    }

    #[test]
    fn however_many_strangers_come_the_shops_own_host_stays() {
        let mut peers = Peers::default();
        let mut note = |host: &str, connection| drop(peers.note(&event(host, connection, "known")));
        (1..=4).for_each(|connection| note("10.0.0.5", connection));
        for stranger in 0..5_000_u32 {
            note(
                &std::net::Ipv4Addr::from(0x0b00_0000 + stranger).to_string(),
                1,
            );
        }
        assert!(peers.is_shops("10.0.0.5") && peers.connections.len() == super::PEERS_MAX);
    }

    #[test]
    fn whoever_issues_other_statements_is_not() {
        let of = |known| (1..=50).map(move |number| ("203.0.113.66", number, known));
        check(&Vec::from_iter(of("unknown")), &[]);
        check(&Vec::from_iter(of("not judged")), &[]);
        check(&[("203.0.113.66", 1, "known"); 9], &[]);
    }
}
