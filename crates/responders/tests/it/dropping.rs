//! Packets that are dropped: what others dropped stays, what must be spared is; and kernels that are broken on purpose, which the contract sees.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use model::Arguments;
use responders::as_root::{Operation, Way};
use responders::{
    Action, ActionError, Answer, Ask, Effect, Host, Network, NoAnswer, Request, World, action,
    contract, memory,
};

use crate::arguments;

fn drop_packets() -> &'static dyn Action {
    action("drop_packets").expect("an action")
}

fn dropped(host: &Host) -> BTreeSet<String> {
    let way = Way::Here(String::new());
    let told = host.world.root(&way, &Operation::ListNetworks);
    told.expect("told").iter().map(Network::to_string).collect()
}

#[test]
fn networks_that_hold_one_another_are_dropped_and_let_through_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let one = drop_packets();
    let given = ["192.0.2.0/24", "192.0.2.7", "::ffff:192.0.2.9"];
    let given: Vec<_> = given.iter().map(|text| arguments(one, &[text])).collect();
    let mut kept = Vec::new();
    for (arguments, now) in given.iter().zip([
        "let through",
        "dropped already, as 192.0.2.0/24 is",
        "dropped already, as 192.0.2.0/24 is",
    ]) {
        let survey = one.survey(&host, arguments).expect("survey");
        assert_eq!(survey.changes[0].now, now);
        one.act(&host, arguments, &survey.kept).expect("act");
        kept.push(survey.kept);
    }
    // As packets have it: IPv4, however it is written.
    let all = ["192.0.2.0/24", "192.0.2.7", "192.0.2.9"];
    assert_eq!(dropped(&host), all.map(str::to_owned).into());
    one.undo(&host, &given[0], &kept[0]).expect("undo");
    assert_eq!(
        dropped(&host),
        ["192.0.2.7", "192.0.2.9"].map(str::to_owned).into()
    );
    // What was dropped before a step is so after its undo.
    let again = one.survey(&host, &given[1]).expect("survey");
    assert_eq!(again.changes[0].now, "dropped already");
    one.act(&host, &given[1], &again.kept).expect("act");
    one.undo(&host, &given[1], &again.kept).expect("undo");
    let told = one.read_back(&host, &given[1], &again.kept).expect("told");
    assert_eq!(told, Effect::InEffect);
    // The kernel forgot it: that is told, and the undo has nothing to do.
    std::fs::remove_file(folder.path().join("nftables/192.0.2.7")).expect("gone");
    let told = one.read_back(&host, &given[1], &kept[1]).expect("told");
    assert_eq!(told, Effect::NotInEffect);
    one.undo(&host, &given[1], &kept[1]).expect("undo");
}

#[test]
fn what_is_spared_is_refused_before_anything_changes() {
    #[track_caller]
    fn check(make: fn(&Path) -> Result<Host, ActionError>, network: &str, words: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let host = make(folder.path()).expect("a host");
        let one = drop_packets();
        let given = arguments(one, &[network]);
        let survey = one.survey(&host, &given);
        let told = survey.and_then(|survey| one.act(&host, &given, &survey.kept));
        let told = told.expect_err("it is refused");
        assert!(told.to_string().contains(words), "{told}");
        assert_eq!(dropped(&host), BTreeSet::new());
    }
    check(memory::host, "198.51.100.7", "a proxy");
    check(memory::host, "::ffff:198.51.100.7", "a proxy");
    check(memory::host, "128.0.0.0/1", "a proxy");
    // Root's own settings have the last word.
    check(memory::host_by_root, "203.0.113.9", "never dropped here");
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = memory::host(folder.path()).expect("a host");
    host.settings.nftables = None;
    let one = drop_packets();
    let told = one.survey(&host, &arguments(one, &["192.0.2.7"]));
    let told = told.expect_err("it isn't set up");
    assert!(
        told.to_string()
            .contains("no part [root] and no [nftables]"),
        "{told}"
    );
}

/// What a broken kernel does otherwise.
#[derive(Clone, Copy)]
enum Broken {
    Not,
    ForgetsOthers,
    KeepsWhatIsRemoved,
    AddsMore,
    AddsNothing,
}

struct Kernel {
    inner: Host,
    broken: Broken,
}

impl World for Kernel {
    fn run(&self, program: &[String], limit: Duration) -> Result<(), ActionError> {
        self.inner.world.run(program, limit)
    }

    fn read(&self, program: &[String], limit: Duration) -> Result<Vec<u8>, ActionError> {
        self.inner.world.read(program, limit)
    }

    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        let root = |operation: &Operation| self.inner.world.root(way, operation);
        match (self.broken, operation) {
            (Broken::ForgetsOthers, Operation::RemoveNetwork(_)) => {
                for network in root(&Operation::ListNetworks)? {
                    root(&Operation::RemoveNetwork(network))?;
                }
                Ok(BTreeSet::new())
            }
            (Broken::KeepsWhatIsRemoved, Operation::RemoveNetwork(_))
            | (Broken::AddsNothing, Operation::AddNetwork(_)) => Ok(BTreeSet::new()),
            (Broken::AddsMore, Operation::AddNetwork(_)) => {
                let neighbour = Network::read("192.0.3.0/24").expect("a network");
                root(&Operation::AddNetwork(neighbour))?;
                root(operation)
            }
            _ => root(operation),
        }
    }

    fn ask(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<u16, ActionError> {
        self.inner.world.ask(at, ask, limit)
    }

    fn fetch(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<Vec<u8>, ActionError> {
        self.inner.world.fetch(at, ask, limit)
    }

    fn request(
        &self,
        at: SocketAddr,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        self.inner.world.request(at, request, limit)
    }

    fn pause(&self, _time: Duration) {}
}

/// What the contract says of the action at such a kernel, where an administrator dropped another network before.
fn said(broken: Broken) -> Option<String> {
    let make = move |folder: &Path| {
        let inner = memory::host(folder)?;
        let other = Network::read("2001:db8::/32").expect("a network");
        let way = Way::Here(String::new());
        inner.world.root(&way, &Operation::AddNetwork(other))?;
        let (settings, stores) = (inner.settings.clone(), inner.stores.clone());
        Ok(Host::within(
            settings,
            stores,
            Box::new(Kernel { inner, broken }),
        ))
    };
    let folder = tempfile::tempdir().expect("a folder");
    let given: Arguments = arguments(drop_packets(), &["192.0.2.0/24"]);
    let tried = AssertUnwindSafe(|| contract::check(drop_packets(), folder.path(), &make, &given));
    let panic = catch_unwind(tried).err()?;
    Some(panic.downcast_ref::<String>().expect("words").clone())
}

#[test]
fn the_contract_sees_a_kernel_that_is_broken() {
    assert_eq!(said(Broken::Not), None);
    for (broken, words) in [
        (Broken::ForgetsOthers, "undoing restores"),
        (Broken::KeepsWhatIsRemoved, "undoing restores"),
        (Broken::AddsMore, "undoing restores"),
        (Broken::AddsNothing, "InEffect"),
    ] {
        let told = said(broken).expect("it is caught");
        assert!(told.contains(words), "{told}");
    }
}
