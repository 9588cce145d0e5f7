//! Whether something signed is for this host, now. Pure.

use link::Verifier;
use model::{Instruction, Refused, Signed, Timestamp};

/// How far the server's clock and this host's may differ, in seconds: what is over by one must not be taken by the other.
pub(super) const SKEW_SECONDS: i64 = 300;

/// Letters of an order's id.
const ID_MAX: usize = 100;

/// Who this host is, and what it trusts.
#[derive(Clone, Debug)]
pub(super) struct Me {
    pub(super) installation: String,
    pub(super) name: String,
    pub(super) verifier: Verifier,
}

/// The clocks when an instruction came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// This host's.
    pub(super) own: Timestamp,
    /// The server's, as its reply has it.
    pub(super) server: Timestamp,
}

/// Reads what was signed, if it is for this host and holds now.
///
/// # Errors
///
/// Why it isn't taken; without ids where even those can't be read.
pub(super) fn examine(
    signed: &Signed,
    me: &Me,
    clocks: Clocks,
) -> Result<Instruction, Box<Refused>> {
    let refused = |run: &str, order: &str, why: String| {
        // Ids of a forger are only sent back to where they came from.
        let cut = |id: &str| id.chars().take(ID_MAX).collect();
        Box::new(Refused {
            run: cut(run),
            order: cut(order),
            why,
            at: clocks.own,
        })
    };
    let read = me.verifier.open(signed).map_err(|error| {
        let ids: Option<Instruction> = serde_json::from_str(&signed.text).ok();
        let ids = ids
            .as_ref()
            .map(|one| (one.run.as_str(), one.order.as_str()));
        let (run, order) = ids.unwrap_or_default();
        refused(run, order, error.to_string())
    })?;
    match fault(&read, me, clocks) {
        Some(why) => Err(refused(&read.run, &read.order, why)),
        None => Ok(read),
    }
}

fn fault(read: &Instruction, me: &Me, clocks: Clocks) -> Option<String> {
    if read.installation != me.installation {
        return Some("it is for another installation".to_owned());
    }
    if read.host != me.name {
        return Some("it is for another host".to_owned());
    }
    let apart = |one: Timestamp, other: Timestamp| one.0.abs_diff(other.0);
    let most = SKEW_SECONDS.unsigned_abs() * 1_000_000;
    if apart(clocks.own, clocks.server) > most {
        return Some(format!(
            "the clocks differ by more than {} minutes: the server says {}, this host {}",
            SKEW_SECONDS / 60,
            clocks.server,
            clocks.own
        ));
    }
    if read.at > clocks.own.plus_seconds(SKEW_SECONDS) {
        return Some(format!(
            "it was signed at {}, which is to come by this host's clock, {}",
            read.at, clocks.own
        ));
    }
    if read.until <= clocks.own {
        return Some(format!(
            "it was to be done until {}, and this host's clock says {}",
            read.until, clocks.own
        ));
    }
    if read.order.is_empty() || read.order.chars().count() > ID_MAX {
        return Some("it has no id that is one, so it could be done twice".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Clocks, Me, examine};
    use link::{Plans, Verifier};
    use model::{Instructed, Instruction, Timestamp, Word};

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn instruction() -> Instruction {
        Instruction {
            v: 1,
            installation: "shop".to_owned(),
            host: "web1".to_owned(),
            run: "run-1".to_owned(),
            order: "order-1".to_owned(),
            by: vec![],
            at: NOW,
            until: NOW.plus_seconds(600),
            what: Instructed::Say {
                seen: 3,
                word: Word::Undo,
                note: String::new(),
            },
        }
    }

    #[track_caller]
    fn check(instruction: &Instruction, own: i64, server: i64, expected: &str) {
        let plans = Plans::new(&[9; 32]);
        let me = Me {
            installation: "shop".to_owned(),
            name: "web1".to_owned(),
            verifier: Verifier::new(&plans.verifying()).expect("a key"),
        };
        let clocks = Clocks {
            own: NOW.plus_seconds(own),
            server: NOW.plus_seconds(server),
        };
        match examine(&plans.sign(instruction), &me, clocks) {
            Ok(read) => assert_eq!((expected, &read), ("", instruction)),
            Err(refused) => {
                assert!(
                    !expected.is_empty() && refused.why.contains(expected),
                    "{refused:?}"
                );
                assert_eq!(
                    (&refused.run, &refused.order),
                    (&instruction.run, &instruction.order)
                );
            }
        }
    }

    #[test]
    fn takes_what_is_for_this_host_now() {
        check(&instruction(), 0, 0, "");
        check(&instruction(), 299, 0, "");
        check(&instruction(), -300, 0, "");
    }

    #[test]
    fn refuses_what_is_for_somebody_else() {
        let other = |change: fn(&mut Instruction)| {
            let mut one = instruction();
            change(&mut one);
            one
        };
        check(
            &other(|one| one.host = "web2".to_owned()),
            0,
            0,
            "another host",
        );
        check(
            &other(|one| one.installation = "other".to_owned()),
            0,
            0,
            "another installation",
        );
        check(&other(|one| one.order.clear()), 0, 0, "no id");
        check(&other(|one| one.order = "x".repeat(100)), 0, 0, "");
    }

    #[test]
    fn refuses_what_is_over_and_what_is_to_come() {
        check(&instruction(), 600, 600, "it was to be done until");
        check(&instruction(), -301, -301, "which is to come");
        // However late it comes: a replay.
        check(&instruction(), 86_400, 86_400, "it was to be done until");
    }

    #[test]
    fn refuses_by_clocks_that_differ_and_says_both() {
        check(&instruction(), 301, 0, &NOW.plus_seconds(301).to_string());
        check(&instruction(), 0, 301, &NOW.plus_seconds(301).to_string());
        check(&instruction(), 0, -301, "the clocks differ");
    }

    #[test]
    fn refuses_what_another_signed() {
        let me = Me {
            installation: "shop".to_owned(),
            name: "web1".to_owned(),
            verifier: Verifier::new(&Plans::new(&[9; 32]).verifying()).expect("a key"),
        };
        let clocks = Clocks {
            own: NOW,
            server: NOW,
        };
        let forged = Plans::new(&[8; 32]).sign(&instruction());
        let refused = examine(&forged, &me, clocks).expect_err("forged");
        assert!(refused.why.contains("isn't signed"), "{refused:?}");
        assert_eq!(refused.order, "order-1");
    }
}
