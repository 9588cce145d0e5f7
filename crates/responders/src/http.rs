//! Requests and answers of HTTP/1.1, as far as the guard of a shop needs them: one request a connection, no redirect followed.
//!
//! Pure, so that what a hostile server answers can be tried without one (RFC 9112). Invariant: nothing that is sent can begin a
//! line of its own.

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// E.g. `GET`.
    pub method: &'static str,
    /// Name in `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Further header lines, cookies among them.
    pub headers: Vec<(&'static str, String)>,
    /// Its body, if it has one.
    pub body: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status, three digits.
    pub status: u16,
    /// Its header lines in order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body without chunks' sizes, as far as it came.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer; `None` when its head isn't whole or is none of HTTP/1.1. What is cut off later is read as far as it came.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
        let body = bytes.get(end + 4..)?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.splitn(3, ' ');
        if !first.next()?.starts_with("HTTP/1.") {
            return None;
        }
        // Digits alone: a number may have a sign where a status may not.
        let is_status =
            |text: &&str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        let status = first.next().filter(is_status)?.parse().ok()?;
        let line = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let mut answer = Self {
            status,
            headers: lines.filter_map(line).collect(),
            body: body.to_vec(),
        };
        let is_chunked = answer
            .header("transfer-encoding")
            .any(|value| value.eq_ignore_ascii_case("chunked"));
        if is_chunked {
            answer.body = without_sizes(body);
        }
        Some(answer)
    }

    /// The values of a header; its name in lower case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.headers.iter().filter(move |(one, _)| one == name);
        lines.map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// Nobody listens, or what would be sent is no request: no load does that.
    #[error("it can't be asked: {how}")]
    Refused {
        /// What the system says.
        how: String,
    },
    /// It takes too long.
    #[error("no answer within {milliseconds} ms")]
    Late {
        /// How long was waited.
        milliseconds: u128,
    },
    /// The connection ended before an answer of HTTP/1.1 was whole, as a server does it that has too many.
    #[error("the connection ended without an answer: {how}")]
    Cut {
        /// What came instead.
        how: String,
    },
}

/// A request as it is sent; `None` when a part of it would be more than that part.
pub(crate) fn written(request: &Request) -> Option<Vec<u8>> {
    let is_line = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_word = |text: &str| is_line(text) && !text.is_empty() && !text.contains(' ');
    let headers = &request.headers;
    let is_whole = is_word(request.method)
        && is_word(&request.host)
        && is_word(&request.path)
        && request.path.starts_with('/')
        && headers
            .iter()
            .all(|(name, value)| is_word(name) && is_line(value));
    if !is_whole {
        return None;
    }
    let mut out = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\n",
        request.method, request.path, request.host
    );
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = &request.body {
        out.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    out.push_str("Connection: close\r\n\r\n");
    out.push_str(request.body.as_deref().unwrap_or_default());
    Some(out.into_bytes())
}

/// The content of chunks (RFC 9112 §7.1); what isn't one ends it.
fn without_sizes(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = rest
            .get(..end)
            .and_then(|line| std::str::from_utf8(line).ok())
            .and_then(|line| size_of(line.split(';').next()?.trim()));
        let content = rest.get(end + 2..).unwrap_or_default();
        let Some(size) = size.filter(|size| *size > 0) else {
            break;
        };
        let size = size.min(content.len());
        let (chunk, after) = content.split_at(size);
        out.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").unwrap_or_default();
    }
    out
}

/// A chunk's size: hexadecimal digits alone.
fn size_of(text: &str) -> Option<usize> {
    let is_size = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_size.then(|| usize::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::{Answer, Request, written};
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(u16, &str)>) {
        let told = Answer::read(text.as_bytes());
        let told = told.map(|answer| {
            (
                answer.status,
                String::from_utf8_lossy(&answer.body).into_owned(),
            )
        });
        let expected = expected.map(|(status, body)| (status, body.to_owned()));
        assert_eq!(told, expected, "{text}");
    }

    fn request(path: &str, value: &str) -> Request {
        Request {
            method: "POST",
            host: "de.shop.test".to_owned(),
            path: path.to_owned(),
            headers: vec![("User-Agent", value.to_owned())],
            body: Some("{}".to_owned()),
        }
    }

    #[test]
    fn an_answer_is_read() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\ntrue", Some((200, "true")));
        check("HTTP/1.1 503\r\n\r\n", Some((503, "")));
        check("HTTP/1.1 200 OK\r\nA: b\r\n", None);
        check("HTTP/2 200\r\n\r\n", None);
        check("HTTP/1.1 2000 OK\r\n\r\n", None);
        check("HTTP/1.1 +20 OK\r\n\r\n", None);
        check("", None);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
        check(
            &format!("{chunked}2\r\ntr\r\n2;x=y\r\nue\r\n0\r\n\r\n"),
            Some((200, "true")),
        );
        check(
            &format!("{chunked}ffffffffffffffff\r\ntr"),
            Some((200, "tr")),
        );
        check(&format!("{chunked}-2\r\ntrue"), Some((200, "")));
        check(&format!("{chunked}+2\r\ntrue"), Some((200, "")));
        check(
            &format!("{chunked}1ffffffffffffffff\r\ntrue"),
            Some((200, "")),
        );
    }

    #[test]
    fn names_of_headers_are_read_in_any_case() {
        let answer =
            Answer::read(b"HTTP/1.1 403 x\r\nCF-Mitigated:  challenge\r\ncf-mitigated: b\r\n\r\n");
        let answer = answer.expect("an answer");
        let told: Vec<_> = answer.header("cf-mitigated").collect();
        assert_eq!(told, ["challenge", "b"]);
    }

    #[test]
    fn a_request_is_written_with_the_length_of_its_body() {
        let text = written(&request("/rest/de/V1/guest-carts", "magewarden-guard"));
        let text = String::from_utf8(text.expect("a request")).expect("text");
        assert_eq!(
            text,
            "POST /rest/de/V1/guest-carts HTTP/1.1\r\nHost: de.shop.test\r\nUser-Agent: magewarden-guard\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{}"
        );
        for path in ["", "x", "/a b", "/a\r\nX: y", "/\u{e9}"] {
            assert_eq!(written(&request(path, "x")), None, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_begins_a_line_of_its_own(path in "\\PC{0,20}", value in any::<String>()) {
            if let Some(bytes) = written(&request(&path, &value)) {
                let lines = bytes.windows(2).filter(|two| two == b"\r\n").count();
                prop_assert_eq!(lines, 6);
                let ends = bytes.iter().filter(|byte| **byte == b'\n').count();
                prop_assert_eq!(ends, 6);
            }
        }

        #[test]
        fn what_came_in_chunks_is_read_and_what_was_cut_off_is_how_it_begins(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            more in any::<Vec<u8>>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let mut text = head.to_vec();
            for chunk in &chunks {
                text.extend(format!("{:X};a=b\r\n", chunk.len()).bytes());
                text.extend(chunk);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n");
            text.extend(&more);
            let whole = Answer::read(&text).expect("its head is whole");
            prop_assert_eq!(&whole.body, &chunks.concat());
            let cut = head.len() + cut.index(text.len() - head.len() + 1);
            let part = Answer::read(&text[..cut]).expect("its head is whole");
            prop_assert!(whole.body.starts_with(&part.body));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(head in any::<bool>(), bytes in any::<Vec<u8>>()) {
            let mut text = Vec::new();
            if head {
                text.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            }
            text.extend(&bytes);
            if let Some(answer) = Answer::read(&text) {
                prop_assert!(answer.body.len() <= bytes.len());
            }
        }
    }
}
