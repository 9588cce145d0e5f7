//! How a stream of syslog comes apart into messages.

use super::MESSAGE_BYTES_MAX;

/// A stream's bytes coming apart into messages (RFC 6587 §3.4): each begins with its length, or ends with a line end.
#[derive(Default)]
pub(super) struct Frames {
    rest: Vec<u8>,
    at: usize,
    /// How much of what is open was searched for an end already: bytes that trickle in aren't searched over and over.
    searched: usize,
    /// The stream can't be followed any further.
    pub(super) broken: bool,
}

impl Frames {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.drain(..std::mem::take(&mut self.at));
        self.rest.extend_from_slice(bytes);
    }

    /// The next message; empty ones are skipped. `ended` says that no more will come.
    pub(super) fn next(&mut self, ended: bool) -> Option<Vec<u8>> {
        loop {
            let open = self.rest.get(self.at..).filter(|open| !open.is_empty())?;
            let (start, end, next) = match open.first() {
                Some(b'1'..=b'9') => match counted(open) {
                    Counted::Message { start, end } if end <= open.len() => (start, end, end),
                    Counted::Message { start, .. } if ended => (start, open.len(), open.len()),
                    Counted::Message { .. } => return None,
                    Counted::More if !ended => return None,
                    Counted::More | Counted::Broken => {
                        self.broken = true;
                        return None;
                    }
                },
                _ => match self.end_of_line(open) {
                    Some(end) if end <= MESSAGE_BYTES_MAX => (0, end, end + 1),
                    None if open.len() <= MESSAGE_BYTES_MAX && ended => (0, open.len(), open.len()),
                    None if open.len() <= MESSAGE_BYTES_MAX => {
                        self.searched = open.len();
                        return None;
                    }
                    Some(_) | None => {
                        self.broken = true;
                        return None;
                    }
                },
            };
            let message = open
                .get(start..end)
                .unwrap_or_default()
                .trim_ascii_end()
                .to_vec();
            self.at += next;
            self.searched = 0;
            if !message.is_empty() {
                return Some(message);
            }
        }
    }

    fn end_of_line(&self, open: &[u8]) -> Option<usize> {
        let fresh = open.get(self.searched..)?;
        memchr::memchr2(b'\n', 0, fresh).map(|at| self.searched + at)
    }
}

enum Counted {
    Message { start: usize, end: usize },
    More,
    Broken,
}

/// Reads `MSG-LEN SP` (RFC 6587 §3.4.1).
fn counted(open: &[u8]) -> Counted {
    let digits = open.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 7 {
        return Counted::Broken;
    }
    let length = open
        .get(..digits)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<usize>().ok());
    match (open.get(digits), length) {
        (None, _) => Counted::More,
        (Some(b' '), Some(length)) if length <= MESSAGE_BYTES_MAX => Counted::Message {
            start: digits + 1,
            end: digits + 1 + length,
        },
        _ => Counted::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stream: &str, expected: &[&str], broken: bool) {
        // However the bytes arrive, the messages are the same.
        for size in [1, 3, 1000] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
            for (at, piece) in pieces.iter().enumerate() {
                frames.push(piece);
                while let Some(message) = frames.next(at + 1 == pieces.len()) {
                    found.push(String::from_utf8_lossy(&message).into_owned());
                }
            }
            assert_eq!(found, expected, "{stream:?} by {size}");
            assert_eq!(frames.broken, broken, "{stream:?} by {size}");
        }
    }

    #[test]
    fn reads_both_framings_and_their_mixture() {
        check(
            "<13>a\n<13>b\r\n\n<13>c",
            &["<13>a", "<13>b", "<13>c"],
            false,
        );
        check("5 <13>a6 <13>bb", &["<13>a", "<13>bb"], false);
        check(
            "6 <13>a\n<13>b\n5 <13>c",
            &["<13>a", "<13>b", "<13>c"],
            false,
        );
        check("<13>a\0<13>b\0", &["<13>a", "<13>b"], false);
        // A counted message keeps its line ends.
        check("9 <13>a\nb\nc", &["<13>a\nb\nc"], false);
    }

    #[test]
    fn a_torn_last_message_is_still_a_record() {
        check("20 <13>torn", &["<13>torn"], false);
    }

    #[test]
    fn a_length_that_cannot_be_is_refused() {
        check("99999999 <13>a", &[], true);
        check("5x<13>a", &[], true);
        check("<13>a\n2000000 x", &["<13>a"], true);
    }
}
