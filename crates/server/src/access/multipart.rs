//! A form with files as a browser sends it (RFC 7578), read from a body that is held whole.
//!
//! Written here because what is needed is small: no charsets, no nesting, no streaming. Hostile: parts and headers have
//! limits, and what doesn't fit the form is no form.

use axum::http::{HeaderMap, header};

/// Parts of one form.
const PARTS_MAX: usize = 32;
/// Bytes of one part's headers; a file's name is in them.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// Its name.
    pub(crate) name: String,
    /// The file's name as it was sent; `None` where it is no file.
    pub(crate) file_name: Option<String>,
    /// What was typed, or the file's bytes.
    pub(crate) content: &'a [u8],
}

/// The boundary that a request's headers name.
pub(crate) fn boundary(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = kind.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    let fits = !boundary.is_empty()
        && boundary.len() <= BOUNDARY_BYTES_MAX
        && boundary.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    fits.then_some(boundary)
}

/// Reads every part of a body; `None` when it is no form with this boundary.
pub(crate) fn parts<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    some_parts(body, boundary, PARTS_MAX)
}

/// The same of a form with more fields, at most so many.
pub(crate) fn some_parts<'a>(
    body: &'a [u8],
    boundary: &str,
    parts_max: usize,
) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let delimiter = format!("\r\n{delimiter}");
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        if parts.len() == parts_max {
            return None;
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let head = rest.get(..rest.len().min(HEAD_BYTES_MAX))?;
        let end = find(head, b"\r\n\r\n")?;
        let (name, file_name) = disposition(rest.get(..end)?)?;
        rest = rest.get(end + 4..)?;
        let end = find(rest, delimiter.as_bytes())?;
        let content = rest.get(..end)?;
        rest = rest.get(end + delimiter.len()..)?;
        parts.push(Part {
            name,
            file_name,
            content,
        });
    }
}

/// Where some bytes begin that start with a carriage return.
fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let rest = bytes.get(from..)?;
        let at = from + rest.iter().position(|byte| *byte == b'\r')?;
        if bytes.get(at..)?.starts_with(sought) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Name and file name of a part by its headers.
fn disposition(head: &[u8]) -> Option<(String, Option<String>)> {
    let head = String::from_utf8_lossy(head);
    let value = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    })?;
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let name = parameter(parameters, "name")?;
    Some((name, parameter(parameters, "filename")))
}

/// A parameter's value: quoted as browsers do, with `%22` for a quotation mark, or bare.
fn parameter(mut parameters: &str, sought: &str) -> Option<String> {
    loop {
        let (name, rest) = parameters.split_once('=')?;
        let name = name.trim_matches([' ', '\t', ';']);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(rest) => rest.split_once('"')?,
            None => rest.split_once(';').unwrap_or((rest, "")),
        };
        if name.eq_ignore_ascii_case(sought) {
            return Some(value.trim().replace("%22", "\""));
        }
        parameters = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::{boundary, parts};
    use axum::http::{HeaderMap, HeaderValue, header};
    use proptest::prelude::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"about\"\r\n\r\na mail\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a %22b%22.txt\"\r\nContent-Type: text/plain\r\n\r\n\
        one\r\n--not the end\r\n\r\n--b--\r\n";

    fn read(body: &[u8]) -> Option<Vec<(String, Option<String>, String)>> {
        let parts = parts(body, "b")?.into_iter().map(|part| {
            let content = String::from_utf8_lossy(part.content).into_owned();
            (part.name, part.file_name, content)
        });
        Some(parts.collect())
    }

    #[test]
    fn a_form_is_read_as_browsers_write_it() {
        let text = |text: &str| text.to_owned();
        let wanted = vec![
            (text("about"), None, text("a mail")),
            (
                text("file"),
                Some(text("a \"b\".txt")),
                text("one\r\n--not the end\r\n"),
            ),
        ];
        assert_eq!(read(FORM.as_bytes()), Some(wanted));
        assert_eq!(read(b"--b--"), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_has_no_end_is_no_form() {
        for end in 0..FORM.len() - 4 {
            assert_eq!(read(&FORM.as_bytes()[..end]), None, "{end}");
        }
        let part = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n";
        assert_eq!(read(format!("{}--b--", part.repeat(33)).as_bytes()), None);
        let long = part.replace("\"a\"", &format!("\"{}\"", "a".repeat(40_000)));
        assert_eq!(read(format!("{long}--b--").as_bytes()), None);
        assert_eq!(read(b"--b\r\nX: y\r\n\r\n\r\n--b--"), None);
    }

    #[test]
    fn a_boundary_is_named_in_the_headers() {
        let of = |kind: &'static str| {
            let kind = HeaderValue::from_static(kind);
            boundary(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]))
        };
        let form = |boundary: &str| Some(boundary.to_owned());
        assert_eq!(of("multipart/form-data; boundary=b1"), form("b1"));
        assert_eq!(
            of("Multipart/Form-Data; charset=utf-8; boundary=\"b 1\"; x=y"),
            form("b 1")
        );
        assert_eq!(of("multipart/form-data; boundary="), None);
        assert_eq!(of("multipart/mixed; boundary=b1"), None);
        assert_eq!(of("multipart/form-data"), None);
    }

    proptest! {
        /// What a browser sends is read back, whatever is in it; and no bytes make it panic.
        #[test]
        fn any_content_comes_back_and_nothing_is_invented(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5),
            at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut body = Vec::new();
            for content in &contents {
                body.extend_from_slice(b"--a long boundary 7\r\nContent-Disposition: form-data; name=f; filename=g\r\n\r\n");
                body.extend_from_slice(content);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"--a long boundary 7--\r\n");
            let read = parts(&body, "a long boundary 7").expect("a form");
            let read: Vec<Vec<u8>> = read.into_iter().map(|part| part.content.to_vec()).collect();
            prop_assert_eq!(read, contents);
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            if let Some(parts) = parts(&body, "a long boundary 7") {
                prop_assert!(parts.iter().map(|part| part.content.len()).sum::<usize>() <= body.len());
            }
        }
    }
}
