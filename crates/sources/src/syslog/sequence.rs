//! Numbers that originators give their messages (RFC 5424 §7.3.1, `[meta sequenceId="…"]`; syslog-ng writes them):
//! a number that never comes is a message that was lost, wherever on its way.

use std::collections::{BTreeMap, BTreeSet};

/// Longest host name (RFC 5424 §6).
const HOST_BYTES_MAX: usize = 255;
/// Most numbers that are missed at once. A longer leap tells of another counting, or of a liar, and of no loss.
const LEAP_MAX: u32 = 1000;
/// The greatest number; 1 comes next.
const NUMBER_MAX: u32 = 0x7fff_ffff;

/// What originators' numbers say, by host name.
#[derive(Debug, Default)]
pub(super) struct Sequences(BTreeMap<Vec<u8>, Sequence>);

impl Sequences {
    /// Takes a message as it came; an originator that isn't known yet is followed while there is `room`. Tells whether one was added.
    pub(super) fn see(&mut self, message: &[u8], room: bool) -> bool {
        let Some((host, number)) = numbered(message) else {
            return false;
        };
        if let Some(sequence) = self.0.get_mut(host) {
            sequence.see(number);
            return false;
        }
        let is_added = room && host.len() <= HOST_BYTES_MAX;
        if is_added {
            self.0.insert(host.to_owned(), Sequence::after(number));
        }
        is_added
    }

    /// Messages that are lost: those missed since the look before the last, since a datagram may overtake another.
    pub(super) fn lost(&mut self) -> u64 {
        self.0.values_mut().map(Sequence::lost).sum()
    }
}

/// The numbers of one originator.
#[derive(Debug)]
struct Sequence {
    next: u32,
    /// Missed since the last look, and before.
    missed: [BTreeSet<u32>; 2],
    /// The last number that was neither next nor missed.
    odd: Option<u32>,
    /// Missed of a counting that is over.
    over: u64,
}

impl Sequence {
    fn after(number: u32) -> Self {
        Self {
            next: following(number),
            missed: [BTreeSet::new(), BTreeSet::new()],
            odd: None,
            over: 0,
        }
    }

    fn see(&mut self, number: u32) {
        let leap = number.wrapping_sub(self.next);
        let missed: usize = self.missed.iter().map(BTreeSet::len).sum();
        if number == self.next {
            self.next = following(number);
        } else if self.missed.iter_mut().any(|missed| missed.remove(&number)) {
            // It was overtaken.
        } else if number > self.next && leap <= LEAP_MAX && missed < LEAP_MAX as usize {
            self.missed[0].extend(self.next..number);
            self.next = following(number);
        } else if number == 1 || self.odd.map(following) == Some(number) {
            // It began anew; one odd number alone is a message that came twice.
            *self = Self {
                over: self.over + missed as u64,
                ..Self::after(number)
            };
        } else {
            self.odd = Some(number);
        }
    }

    fn lost(&mut self) -> u64 {
        let [new, old] = &mut self.missed;
        let lost = old.len() as u64 + std::mem::take(&mut self.over);
        *old = std::mem::take(new);
        lost
    }
}

const fn following(number: u32) -> u32 {
    if number >= NUMBER_MAX { 1 } else { number + 1 }
}

/// Host name and number of a message that has one: `<PRI>1 TIME HOST APP PROCID MSGID [id name="value"…]… MSG`.
fn numbered(message: &[u8]) -> Option<(&[u8], u32)> {
    let close = memchr::memchr(b'>', message.get(..message.len().min(6))?)?;
    let rest = message.get(close + 1..)?.strip_prefix(b"1 ")?;
    let mut words = rest.splitn(6, |byte| *byte == b' ');
    let (_time, host) = (words.next()?, words.next()?);
    let mut data = words.nth(3)?;
    while let Some(element) = data.strip_prefix(b"[") {
        let (mut at, mut quoted) = (0, false);
        loop {
            match element.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
            at += 1;
        }
        if let Some(meta) = element.get(..at)?.strip_prefix(b"meta ") {
            return Some((host, sequence_id(meta)?));
        }
        data = element.get(at + 1..)?;
    }
    None
}

/// The parameter `sequenceId` of `name="value" name="value"`.
fn sequence_id(meta: &[u8]) -> Option<u32> {
    let mut rest = meta;
    loop {
        let equals = memchr::memchr(b'=', rest)?;
        let name = rest.get(..equals)?.trim_ascii();
        let value = rest.get(equals + 1..)?.strip_prefix(b"\"")?;
        let mut end = 0;
        while *value.get(end)? != b'"' {
            end += if value.get(end) == Some(&b'\\') { 2 } else { 1 };
        }
        if name == b"sequenceId" {
            let number = std::str::from_utf8(value.get(..end)?).ok()?.parse().ok()?;
            return (1..=NUMBER_MAX).contains(&number).then_some(number);
        }
        rest = value.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{NUMBER_MAX, Sequences, numbered};
    use proptest::prelude::*;

    fn message(host: &str, number: u32) -> Vec<u8> {
        format!(r#"<13>1 2026-08-05T10:15:30Z {host} shop - - [x@9 a="]\""][meta sequenceId="{number}" sysUpTime="3"] text"#)
            .into_bytes()
    }

    /// Messages lost of a host that sent `numbers`, after enough looks.
    #[track_caller]
    fn check(numbers: &[u32], expected: u64) {
        let mut sequences = Sequences::default();
        for number in numbers {
            sequences.see(&message("web1", *number), true);
        }
        let lost: u64 = (0..3).map(|_| sequences.lost()).sum();
        assert_eq!(lost, expected, "{numbers:?}");
    }

    #[test]
    fn a_number_that_never_comes_is_a_loss() {
        check(&[5, 6, 7], 0);
        check(&[5, 9], 3);
        // One that was overtaken, one that came twice.
        check(&[5, 7, 6, 8], 0);
        check(&[5, 6, 6, 7, 5, 8], 0);
        // Begun anew, with and without its first message; what was missed before stays missed.
        check(&[500, 502, 1, 2, 4], 2);
        check(&[500, 3, 4, 6], 1);
        check(&[NUMBER_MAX - 1, NUMBER_MAX, 1, 2], 0);
        // A leap tells of no loss, whoever leaps.
        check(&[5, 2_000_000_000, 6, 7], 0);
        check(&[5, 2_000_000_000, 2_000_000_001, 2_000_000_003], 1);
    }

    #[test]
    fn what_is_missed_has_a_look_to_come() {
        let mut sequences = Sequences::default();
        for number in [1, 3] {
            sequences.see(&message("web1", number), true);
        }
        assert_eq!(sequences.lost(), 0);
        sequences.see(&message("web1", 2), true);
        assert_eq!((sequences.lost(), sequences.lost()), (0, 0));
        sequences.see(&message("web2", 9), true);
        sequences.see(&message("web1", 5), true);
        assert_eq!(
            (sequences.lost(), sequences.lost(), sequences.lost()),
            (0, 1, 0)
        );
    }

    #[test]
    fn originators_are_followed_while_there_is_room() {
        let mut sequences = Sequences::default();
        assert!(sequences.see(&message("web1", 1), true));
        assert!(!sequences.see(&message("web1", 2), true));
        assert!(!sequences.see(&message("web2", 1), false));
        assert!(!sequences.see(&message(&"w".repeat(256), 1), true));
        assert_eq!(sequences.0.len(), 1);
    }

    #[test]
    fn only_structured_data_is_believed() {
        assert_eq!(numbered(&message("web1", 7)), Some((&b"web1"[..], 7)));
        for text in [
            r#"<13>1 2026-08-05T10:15:30Z web1 shop - - - [meta sequenceId="7"]"#,
            r#"<13>1 2026-08-05T10:15:30Z web1 shop - - [x a="[meta sequenceId=\"7\"]"] text"#,
            r#"<13>1 2026-08-05T10:15:30Z web1 shop - - [meta sequenceId="0"] text"#,
            r#"<13>1 2026-08-05T10:15:30Z web1 shop - - [meta sequenceId="2147483648"] text"#,
            r#"<13>1 2026-08-05T10:15:30Z web1 shop - - [meta sequenceId="7"#,
            "<13>Aug  5 10:15:30 web1 shop: [meta sequenceId=\"7\"]",
            "",
        ] {
            assert_eq!(numbered(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_taken(head in "<[0-9]{0,3}>1 . . . . . ", tail in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut sequences = Sequences::default();
            sequences.see(&[head.as_bytes(), br#"[meta sequenceId="7"#, &tail].concat(), true);
            sequences.see(&tail, true);
        }

        #[test]
        fn no_more_is_lost_than_was_missed(numbers in prop::collection::vec(1..40_u32, 1..60)) {
            let mut sequences = Sequences::default();
            for number in &numbers {
                sequences.see(&message("web1", *number), true);
            }
            let lost: u64 = (0..3).map(|_| sequences.lost()).sum();
            prop_assert!(lost <= 40 * numbers.len() as u64);
        }
    }
}
