//! What is asked for without a person, and what isn't.

use std::collections::BTreeSet;

use model::{
    Actor, ActorKind, Ask, Asset, AssetKind, Exposure, Incident, IncidentState, Lane, Level, Order,
    Scope, StoreMap, Timestamp, ViewPlace,
};

use super::{Mode, ModeError, ModeSetting, Modes};
use crate::containment::{Containments, PlaybookEdit, Playbooks};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn stores() -> StoreMap {
    let mut stores = StoreMap::default();
    for (view, website) in [("us_en", "us"), ("fr", "eu")] {
        let place = ViewPlace {
            website: website.to_owned(),
            store: format!("{website}_main"),
            ..ViewPlace::default()
        };
        stores.views.insert(view.to_owned(), place);
    }
    stores
}

fn setting(playbook: &str, mode: Mode) -> ModeSetting {
    ModeSetting {
        playbook: playbook.to_owned(),
        mode,
        host: "shop1".to_owned(),
        severity: Level::High,
        websites: Vec::new(),
        per_hour: 2,
        shoppers: false,
    }
}

fn incident(id: usize, address: &str) -> Incident {
    Incident {
        id: format!("i{id}"),
        actors: vec![
            Actor {
                kind: ActorKind::Address,
                value: address.to_owned(),
            },
            Actor {
                kind: ActorKind::Administrator,
                value: "ann".to_owned(),
            },
        ],
        assets: vec![Asset {
            kind: AssetKind::Path,
            name: "pub/media/x.php".to_owned(),
            class: model::DataClass::Public,
        }],
        scopes: vec![Scope::View("us_en".to_owned())],
        title: String::new(),
        state: IncidentState::Suspected,
        lane: Lane::Live,
        severity: Level::High,
        severity_because: Vec::new(),
        severity_floor: Level::Low,
        first: at(0),
        last: at(0),
        detected: at(0),
        findings: Vec::new(),
        exposure: Exposure {
            assets: Vec::new(),
            scopes: Vec::new(),
            first: at(0),
            last: at(0),
            rows: None,
            bytes: None,
            channels: Vec::new(),
            basis: Vec::new(),
        },
        obligations: Vec::new(),
        requirements: Vec::new(),
        related: Vec::new(),
    }
}

struct Machine {
    modes: Modes,
    known: Containments,
    playbooks: Playbooks,
}

impl Machine {
    fn of(settings: Vec<ModeSetting>) -> Self {
        Self {
            modes: Modes::new(settings, stores()).expect("fine"),
            known: Containments::default(),
            playbooks: Playbooks::default(),
        }
    }

    /// What it asks for, which is then sealed.
    fn asks(&mut self, incident: &Incident, rules: &[&str], seconds: i64) -> Vec<Order> {
        self.asks_at(
            incident,
            rules,
            seconds,
            IncidentState::Suspected,
            Level::High,
        )
    }

    fn asks_at(
        &mut self,
        incident: &Incident,
        rules: &[&str],
        seconds: i64,
        state: IncidentState,
        severity: Level,
    ) -> Vec<Order> {
        let rules: BTreeSet<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
        let orders = self.modes.orders(
            incident,
            state,
            severity,
            &rules,
            (&self.playbooks, &self.known),
            at(seconds),
        );
        for order in &orders {
            assert_eq!(self.known.may(order), Ok(None));
            drop(self.known.take(order, model::Sequence(1)).expect("fits"));
        }
        orders
    }
}

fn signs(order: &Order) -> bool {
    matches!(order.ask, Ask::Propose { signs: true, .. })
}

const ADMIN: &[&str] = &["admin-brute-force"];
const SHELL: &[&str] = &["web-shell-answered"];

#[test]
fn nothing_is_asked_for_that_is_not_set() {
    for settings in [Vec::new(), vec![setting("*", Mode::Observe)]] {
        let mut machine = Machine::of(settings);
        assert!(machine.modes.is_empty());
        assert_eq!(machine.asks(&incident(1, "203.0.113.7"), ADMIN, 0), []);
    }
    // The first that fits counts.
    let mut machine = Machine::of(vec![
        setting("administrator-account-stolen", Mode::Observe),
        setting("*", Mode::Approve),
    ]);
    assert_eq!(machine.asks(&incident(1, "203.0.113.7"), ADMIN, 0), []);
    assert_eq!(machine.asks(&incident(1, "203.0.113.7"), SHELL, 0).len(), 1);
    assert_eq!(
        machine.asks(&incident(2, "203.0.113.7"), &["no-such-rule"], 0),
        []
    );
}

#[test]
fn what_is_set_to_be_approved_is_asked_for_once_and_what_is_automatic_begins() {
    let one = incident(1, "203.0.113.7");
    let mut machine = Machine::of(vec![setting("*", Mode::Approve)]);
    let asked = machine.asks(&one, ADMIN, 0);
    assert_eq!(asked.iter().map(signs).collect::<Vec<_>>(), [false]);
    assert_eq!(machine.asks(&one, ADMIN, 60), [], "once");
    // Another address is another plan.
    assert_eq!(
        machine.asks(&incident(1, "203.0.113.8"), ADMIN, 90).len(),
        1
    );

    let mut machine = Machine::of(vec![setting("*", Mode::Automatic)]);
    let asked = machine.asks(&one, ADMIN, 0);
    assert_eq!(
        asked.iter().map(signs).collect::<Vec<_>>(),
        [true],
        "{asked:?}"
    );
}

#[test]
fn what_somebody_here_wrote_never_begins_without_a_person() {
    let one = incident(1, "203.0.113.7");
    let mut machine = Machine::of(vec![setting("*", Mode::Automatic)]);
    let shipped = machine.playbooks.named("administrator-account-stolen");
    let edit = PlaybookEdit {
        name: "administrator-account-stolen".to_owned(),
        by: model::Person {
            account: "ann".to_owned(),
            name: "Ann".to_owned(),
        },
        at: at(0),
        seen: 0,
        document: Some(shipped.expect("it ships").document.write()),
        note: String::new(),
    };
    machine.playbooks.take(&edit, model::Sequence(1));
    let asked = machine.asks(&one, ADMIN, 0);
    assert_eq!(asked.iter().map(signs).collect::<Vec<_>>(), [false]);
    assert!(asked[0].note.contains("somebody here wrote"), "{asked:?}");
}

/// One of our own under a name that no shipped one has, with an `id` of its own.
fn saved(name: &str) -> PlaybookEdit {
    let shipped = Playbooks::default();
    let shipped = shipped.named("administrator-account-stolen");
    let document = &shipped.expect("it ships").document;
    let own = document.write().replace(
        &document.id,
        "playbook--0b9b6a0c-8a4e-4a53-9d7e-1f0c5a3e9b11",
    );
    PlaybookEdit {
        name: name.to_owned(),
        by: model::Person {
            account: "ann".to_owned(),
            name: "Ann".to_owned(),
        },
        at: at(0),
        seen: 0,
        document: Some(own),
        note: String::new(),
    }
}

#[test]
fn a_playbook_may_be_named_before_it_is_there_and_counts_once_it_is() {
    let one = incident(1, "203.0.113.7");
    let mut machine = Machine::of(vec![setting("our-own", Mode::Approve)]);
    let told = machine.modes.remarks(&machine.playbooks);
    assert!(
        matches!(told.as_slice(), [one] if one.contains("no such playbook now")),
        "{told:?}"
    );
    assert_eq!(machine.asks(&one, ADMIN, 0), []);
    machine
        .playbooks
        .take(&saved("our-own"), model::Sequence(1));
    assert_eq!(machine.modes.remarks(&machine.playbooks), [""; 0]);
    let asked = machine.asks(&one, ADMIN, 10);
    assert_eq!(asked.iter().map(signs).collect::<Vec<_>>(), [false]);
    // Given up, it is missing again.
    let edit = PlaybookEdit {
        document: None,
        seen: 1,
        ..saved("our-own")
    };
    machine.playbooks.take(&edit, model::Sequence(2));
    assert_eq!(machine.asks(&incident(2, "203.0.113.7"), ADMIN, 20), []);
    assert_eq!(machine.modes.remarks(&machine.playbooks).len(), 1);
}

#[test]
fn an_own_playbook_that_is_named_as_automatic_is_asked_for_and_that_is_said() {
    let mut machine = Machine::of(vec![
        setting("our-own", Mode::Automatic),
        setting("*", Mode::Automatic),
    ]);
    machine
        .playbooks
        .take(&saved("our-own"), model::Sequence(1));
    let told = machine.modes.remarks(&machine.playbooks);
    assert!(
        matches!(told.as_slice(), [one] if one.contains("another person approves it")),
        "{told:?}"
    );
    let asked = machine.asks(&incident(1, "203.0.113.7"), ADMIN, 0);
    let by_own = |order: &&Order| order.note.contains("somebody here wrote");
    let own: Vec<_> = asked.iter().filter(by_own).collect();
    assert_eq!(
        (asked.len(), own.len()),
        (2, 1),
        "the shipped one answers, too"
    );
    assert!(!signs(own[0]));
}

#[test]
fn no_shopper_is_kept_away_without_a_person_unless_that_is_allowed() {
    let one = incident(1, "203.0.113.7");
    let mut machine = Machine::of(vec![setting("web-shell", Mode::Automatic)]);
    let asked = machine.asks(&one, SHELL, 0);
    assert_eq!(
        asked.iter().map(signs).collect::<Vec<_>>(),
        [false],
        "it denies PHP"
    );
    let allowed = ModeSetting {
        shoppers: true,
        ..setting("web-shell", Mode::Automatic)
    };
    let mut machine = Machine::of(vec![allowed.clone()]);
    assert!(machine.asks(&one, SHELL, 0).iter().all(signs));
    // What can't be undone is never begun without people.
    let key = ModeSetting {
        playbook: "*".to_owned(),
        ..allowed
    };
    let mut machine = Machine::of(vec![key]);
    let asked = machine.asks(&one, &["admin-log-encryption-key"], 0);
    for order in asked {
        let Ask::Propose { plan, signs, .. } = &order.ask else {
            panic!("a proposal");
        };
        assert!(!(plan.needs_two_people && *signs));
    }
}

#[test]
fn a_flood_of_incidents_begins_no_more_runs_than_the_budget() {
    let mut machine = Machine::of(vec![setting(
        "administrator-account-stolen",
        Mode::Automatic,
    )]);
    let mut orders = Vec::new();
    for number in 0..500 {
        let address = format!("203.0.113.{}", number % 250);
        orders.extend(machine.asks(&incident(number, &address), ADMIN, number as i64));
    }
    let begun = orders.iter().filter(|order| signs(order)).count();
    assert_eq!((begun, orders.len()), (2, 30));
    // An hour after the first there is room again.
    let later = machine.asks(&incident(900, "198.51.100.1"), ADMIN, 3600);
    assert_eq!(
        later.iter().filter(|order| signs(order)).count(),
        1,
        "{later:?}"
    );
}

#[test]
fn under_a_star_all_playbooks_share_the_budget_of_an_hour() {
    let everything = ModeSetting {
        shoppers: true,
        ..setting("*", Mode::Automatic)
    };
    let mut machine = Machine::of(vec![everything]);
    let mut begun = |number: usize, rules: &[&str], seconds| {
        let address = format!("203.0.113.{number}");
        let asked = machine.asks(&incident(number, &address), rules, seconds);
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.iter().all(signs)
    };
    assert!(begun(1, ADMIN, 0));
    assert!(begun(2, SHELL, 10));
    assert!(!begun(3, ADMIN, 20), "two of any playbook");
    assert!(!begun(4, SHELL, 30));
    assert!(begun(5, SHELL, 3600), "the first is an hour old");

    let mut one = setting("administrator-account-stolen", Mode::Automatic);
    one.per_hour = 1;
    let other = ModeSetting {
        shoppers: true,
        ..setting("web-shell", Mode::Automatic)
    };
    let mut machine = Machine::of(vec![one, other]);
    for (rules, number) in [(ADMIN, 1), (SHELL, 2)] {
        let asked = machine.asks(&incident(number, "203.0.113.7"), rules, 0);
        assert!(!asked.is_empty() && asked.iter().all(signs), "{asked:?}");
    }
}

#[test]
fn only_what_is_severe_enough_live_and_within_the_websites_is_asked_for() {
    let within = ModeSetting {
        websites: vec!["us".to_owned()],
        ..setting("*", Mode::Approve)
    };
    let ask = |change: &dyn Fn(&mut Incident), state, severity| {
        let mut one = incident(1, "203.0.113.7");
        change(&mut one);
        let mut machine = Machine::of(vec![within.clone()]);
        machine.asks_at(&one, ADMIN, 0, state, severity).len()
    };
    let suspected = IncidentState::Suspected;
    assert_eq!(ask(&|_| {}, suspected, Level::High), 1);
    assert_eq!(ask(&|_| {}, suspected, Level::Medium), 0);
    assert_eq!(ask(&|_| {}, IncidentState::Closed, Level::High), 0);
    assert_eq!(
        ask(&|one| one.lane = Lane::Exercise, suspected, Level::High),
        0
    );
    assert_eq!(
        ask(
            &|one| one.scopes = vec![Scope::View("fr".to_owned())],
            suspected,
            Level::High
        ),
        0
    );
    assert_eq!(
        ask(
            &|one| one.scopes.push(Scope::Installation),
            suspected,
            Level::High
        ),
        0
    );
    assert_eq!(
        ask(&|one| one.scopes = Vec::new(), suspected, Level::High),
        0
    );
    assert_eq!(
        ask(
            &|one| one.scopes = vec![Scope::Store("us_main".to_owned())],
            suspected,
            Level::High
        ),
        1
    );
    // Without what a step is given, a person has to say it.
    assert_eq!(
        ask(&|one| one.actors.truncate(1), suspected, Level::High),
        0
    );
    assert_eq!(
        ask(
            &|one| one.actors[0].value = "not an address".to_owned(),
            suspected,
            Level::High
        ),
        0
    );
}

#[test]
fn a_misspelt_setting_is_refused() {
    let check = |one: ModeSetting| Modes::new(vec![one], stores()).err();
    assert_eq!(check(setting("web-shell", Mode::Automatic)), None);
    for name in ["", "Web-Shell", "../x", "new", "4111111111111111"] {
        let name = name.to_owned();
        assert_eq!(
            check(setting(&name, Mode::Approve)),
            Some(ModeError::NoName { name })
        );
    }
    let nobody = ModeSetting {
        host: String::new(),
        ..setting("*", Mode::Approve)
    };
    assert!(matches!(check(nobody), Some(ModeError::NoHost { .. })));
    let nowhere = ModeSetting {
        websites: vec!["moon".to_owned()],
        ..setting("*", Mode::Approve)
    };
    assert!(matches!(check(nowhere), Some(ModeError::NoWebsite { .. })));
}
