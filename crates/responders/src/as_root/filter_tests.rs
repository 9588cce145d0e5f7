//! Our table as nft 1.0.6 tells it, and what is asked of nft for it.

use super::{Filter, NETWORKS_MAX, Table};
use crate::ActionError;
use crate::as_root::{Operation, Way};
use crate::host::{Ask, World};
use crate::http::{Answer, NoAnswer, Request};
use crate::network::Network;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

const CHAIN: &str = r#"{"chain": {"family": "inet", "table": "magewarden", "name": "drops", "handle": 1, "type": "filter", "hook": "prerouting", "prio": -300, "policy": "accept"}}"#;
const LOOP: &str = r#"{"rule": {"family": "inet", "table": "magewarden", "chain": "drops", "handle": 2, "comment": "lo", "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}]}}"#;
const RULE: &str = r#"{"rule": {"family": "inet", "table": "magewarden", "chain": "drops", "handle": 4, "comment": "v4_24", "expr": [{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, "255.255.255.0"]}, "right": "@v4_24"}}, {"drop": null}]}}"#;
const SET: &str = r#"{"set": {"family": "inet", "name": "v4_24", "table": "magewarden", "type": "ipv4_addr", "handle": 3, "elem": ["192.0.2.0", {"elem": {"val": "198.51.100.0", "comment": "by hand"}}]}}"#;
const EMPTY: &str = r#"{"set": {"family": "inet", "name": "v6_128", "table": "magewarden", "type": "ipv6_addr", "handle": 5}}"#;
const FOREIGN: &str = r#"{"set": {"family": "inet", "name": "mine", "table": "magewarden", "type": "ipv4_addr", "handle": 3, "elem": ["192.0.2.0"]}}"#;

/// An nft that tells of a table and notes what it is told to do.
struct Nft {
    table: Option<String>,
    done: Mutex<Vec<String>>,
}

impl World for Nft {
    fn run(&self, program: &[String], _limit: Duration) -> Result<(), ActionError> {
        let [_, text] = program else {
            unreachable!("{program:?}");
        };
        self.done.lock().expect("a lock").push(text.clone());
        Ok(())
    }

    fn read(&self, program: &[String], _limit: Duration) -> Result<Vec<u8>, ActionError> {
        let told = match (program.last().map(String::as_str), &self.table) {
            (Some("inet"), None) => {
                r#"{"table": {"family": "inet", "name": "others", "handle": 1}}"#
            }
            (Some("inet"), Some(_)) => {
                r#"{"table": {"family": "inet", "name": "magewarden", "handle": 1}}"#
            }
            (_, Some(table)) => table,
            _ => unreachable!("{program:?}"),
        };
        Ok(
            format!(r#"{{"nftables": [{{"metainfo": {{"version": "1.0.6"}}}}, {told}]}}"#)
                .into_bytes(),
        )
    }

    fn root(&self, _way: &Way, _operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        unreachable!()
    }

    fn ask(&self, _at: SocketAddr, _ask: &Ask, _limit: Duration) -> Result<u16, ActionError> {
        unreachable!()
    }

    fn fetch(&self, _at: SocketAddr, _ask: &Ask, _limit: Duration) -> Result<Vec<u8>, ActionError> {
        unreachable!()
    }

    fn request(
        &self,
        _at: SocketAddr,
        _request: &Request,
        _limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        unreachable!()
    }

    fn pause(&self, _time: Duration) {}
}

fn network(text: &str) -> Network {
    Network::read(text).expect("a network")
}

/// What is told of a table, and what is asked for one network: to drop it, or to let it through.
#[track_caller]
fn check(parts: &[&str], listed: &[&str], add: &str, added: &[&str], remove: &str, removed: &str) {
    let table = (!parts.is_empty()).then(|| parts.join(", "));
    let nft = Nft {
        table,
        done: Mutex::default(),
    };
    let filter = Filter {
        world: &nft,
        program: "/usr/sbin/nft",
    };
    let told: Vec<_> = filter
        .list()
        .expect("told")
        .iter()
        .map(Network::to_string)
        .collect();
    assert_eq!(told, listed);
    filter.add(network(add)).expect("added");
    let done = std::mem::take(&mut *nft.done.lock().expect("a lock"));
    assert_eq!(done.concat().lines().collect::<Vec<_>>(), added);
    filter.remove(network(remove)).expect("removed");
    assert_eq!(nft.done.lock().expect("a lock").concat(), removed);
}

#[test]
fn one_change_makes_what_is_missing_and_nothing_else() {
    let (table, chain, set, rule, element) = (
        "add table inet magewarden",
        "add chain inet magewarden drops { type filter hook prerouting priority -300 ; policy accept ; }",
        "add set inet magewarden v6_33 { type ipv6_addr ; }",
        r#"add rule inet magewarden drops ip6 saddr & ffff:ffff:8000:: @v6_33 drop comment "v6_33""#,
        "add element inet magewarden v6_33 { 2001:db8:: }",
    );
    let lo = r#"insert rule inet magewarden drops iifname "lo" accept comment "lo""#;
    let new = "2001:db8::1/33";
    check(
        &[],
        &[],
        new,
        &[table, chain, lo, set, rule, element],
        new,
        "",
    );
    let whole = [CHAIN, LOOP, RULE, SET, EMPTY];
    let both = ["192.0.2.0/24", "198.51.100.0/24"];
    check(&whole, &both, new, &[set, rule, element], "192.0.2.7", "");
    let gone = "delete element inet magewarden v4_24 { 192.0.2.0 }\n";
    check(&whole, &both, "192.0.2.9/24", &[], "192.0.2.9/24", gone);
    // An address within a network that is dropped is one of its own.
    let own = [
        "add set inet magewarden v4_32 { type ipv4_addr ; }",
        r#"add rule inet magewarden drops ip saddr & 255.255.255.255 @v4_32 drop comment "v4_32""#,
        "add element inet magewarden v4_32 { 192.0.2.9 }",
    ];
    check(&whole, &both, "192.0.2.9", &own, "198.51.100.1", "");
}

#[test]
fn what_somebody_took_away_isnt_in_effect_and_comes_back() {
    let element = "add element inet magewarden v4_24 { 192.0.2.0 }";
    let rule =
        r#"add rule inet magewarden drops ip saddr & 255.255.255.0 @v4_24 drop comment "v4_24""#;
    let gone = "delete element inet magewarden v4_24 { 192.0.2.0 }\n";
    let one = "192.0.2.0/24";
    check(&[CHAIN, LOOP, SET], &[], one, &[rule, element], one, gone);
    let accepts = RULE.replace("drop\": null", "accept\": null");
    check(
        &[CHAIN, LOOP, SET, &accepts],
        &[],
        one,
        &[rule, element],
        one,
        gone,
    );
    let input = CHAIN.replace("prerouting", "input");
    let chain = "add chain inet magewarden drops { type filter hook prerouting priority -300 ; policy accept ; }";
    check(
        &[&input, LOOP, RULE, SET],
        &[],
        one,
        &[chain, element],
        one,
        gone,
    );
}

#[test]
fn the_table_goes_with_its_last_network_unless_others_use_it() {
    let single = SET.replace(
        r#", {"elem": {"val": "198.51.100.0", "comment": "by hand"}}"#,
        "",
    );
    let (one, listed) = ("192.0.2.0/24", ["192.0.2.0/24"]);
    check(
        &[CHAIN, LOOP, RULE, &single],
        &listed,
        one,
        &[],
        one,
        "delete table inet magewarden\n",
    );
    let gone = "delete element inet magewarden v4_24 { 192.0.2.0 }\n";
    check(
        &[CHAIN, LOOP, RULE, &single, FOREIGN],
        &listed,
        one,
        &[],
        one,
        gone,
    );
}

#[test]
fn networks_have_a_limit_and_what_cant_be_read_is_an_error() {
    let mut elements = String::new();
    for at in 0..NETWORKS_MAX {
        let _never_fails = write!(elements, r#""10.{}.{}.0","#, at / 256, at % 256);
    }
    let many = SET.replace(
        "\"192.0.2.0\", {\"elem\": {\"val\": \"198.51.100.0\", \"comment\": \"by hand\"}}",
        elements.trim_end_matches(','),
    );
    let nft = |table: String| Nft {
        table: Some(table),
        done: Mutex::default(),
    };
    let full = nft([CHAIN, LOOP, RULE, &many].join(", "));
    let filter = |world| Filter {
        world,
        program: "/usr/sbin/nft",
    };
    assert_eq!(filter(&full).list().expect("told").len(), NETWORKS_MAX);
    let told = filter(&full)
        .add(network("192.0.2.1"))
        .expect_err("full")
        .to_string();
    assert!(told.contains("1000 networks are dropped already"), "{told}");
    filter(&full)
        .add(network("10.0.1.0/24"))
        .expect("it is there");
    let broken = nft("{".to_owned());
    let told = filter(&broken).list().expect_err("broken").to_string();
    assert!(told.contains("says what can't be read"), "{told}");
    assert!(broken.done.lock().expect("a lock").is_empty());
    // What a later nft may tell besides isn't ours.
    let other = serde_json::json!({"map": {"table": "magewarden", "name": "x"}});
    assert!(Table::read(&[other]).has_others);
}
