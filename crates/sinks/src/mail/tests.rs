//! What a server gets, and what no text can do to a letter's head.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use proptest::prelude::*;

use super::{
    Letter, MailServer, Post as _, PostError, Protection, SUBJECT_CHARACTERS_MAX, Smtp, is_address,
    message,
};

/// Answers one connection as an SMTP server that says `answer` to the end of a letter; gives what it was sent.
fn server(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("bound").to_string();
    let (sent, texts) = channel();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("called");
        let mut answers = stream.try_clone().expect("cloned");
        let mut lines = BufReader::new(stream).lines();
        write!(answers, "220 ready\r\n").expect("answered");
        let (mut is_letter, mut text) = (false, String::new());
        while let Some(Ok(line)) = lines.next() {
            text.push_str(&format!("{line}\n"));
            let said = match line.as_str() {
                "." if is_letter => {
                    is_letter = false;
                    answer
                }
                _ if is_letter => continue,
                "DATA" => {
                    is_letter = true;
                    "354 go on"
                }
                _ => "250 ok",
            };
            write!(answers, "{said}\r\n").expect("answered");
            if line == "QUIT" || line == "." {
                break;
            }
        }
        drop(sent.send(text));
    });
    (place, texts)
}

fn smtp(server: &str, protection: Protection, from: &str) -> Result<Smtp, super::MailError> {
    Smtp::new(MailServer {
        server,
        protection,
        account: None,
        from,
        authorities: None,
    })
}

fn letter(subject: &str, body: &str) -> Letter {
    Letter {
        to: "ana@example.com".to_owned(),
        subject: subject.to_owned(),
        body: body.to_owned(),
        id: "a1".to_owned(),
        thread: "i1".to_owned(),
    }
}

/// Names of the fields in a letter's head, and its body as it travels.
fn taken_apart(letter: &Letter) -> (Vec<String>, String) {
    let from = "magewarden <magewarden@example.com>".parse().expect("fits");
    let bytes = message(&from, letter).expect("a message").formatted();
    let text = String::from_utf8(bytes).expect("ASCII");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let names = head.split("\r\n").filter(|line| !line.starts_with(' '));
    let names = names.map(|line| {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line}");
        line.split(':').next().unwrap_or_default().to_owned()
    });
    (names.collect(), body.to_owned())
}

const FIELDS: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "References",
    "Content-Transfer-Encoding",
    "Date",
];

fn sorted<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut names: Vec<String> = names
        .into_iter()
        .map(|one| one.as_ref().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn sends_a_letter_and_says_what_a_server_would_not_take() {
    let (place, texts) = server("250 taken");
    let post = smtp(&place, Protection::Nothing, "w@example.com").expect("set");
    post.send(&letter("critical: cards", "one\n.\ntwo\n"))
        .expect("taken");
    let text = texts.recv().expect("sent");
    assert!(text.contains("MAIL FROM:<w@example.com>"), "{text}");
    assert!(text.contains("Subject: critical: cards"), "{text}");
    // A dot alone would end the letter (RFC 5321, 4.5.2).
    assert!(text.contains("\n..\ntwo"), "{text}");
    let (place, _texts) = server("550 no such\u{1b}[31m person");
    let post = smtp(&place, Protection::Nothing, "w@example.com").expect("set");
    let refused = post.send(&letter("x", "y"));
    let Err(PostError::Letter { why, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("550") && !why.contains('\u{1b}'), "{why}");
    // One that hangs up, or speaks no TLS, takes nobody's.
    for protection in [Protection::StartTls, Protection::Tls] {
        let (place, _texts) = server("250 taken");
        let post = smtp(&place, protection, "w@example.com").expect("set");
        let refused = post.send(&letter("x", "y"));
        assert!(
            matches!(refused, Err(PostError::Server { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn refuses_settings_that_would_send_in_the_clear_or_nowhere() {
    let check = |server: &str, protection, from: &str, expected: &str| {
        let told = smtp(server, protection, from)
            .err()
            .map(|error| error.to_string());
        let told = told.unwrap_or_default();
        assert!(
            told.contains(expected) && told.is_empty() == expected.is_empty(),
            "{server} {from}: {told}"
        );
    };
    let from = "magewarden <magewarden@example.com>";
    check("smtp.example.com:587", Protection::StartTls, from, "");
    check("[::1]:465", Protection::Tls, from, "");
    check("localhost:25", Protection::Nothing, from, "");
    check("[::1]:25", Protection::Nothing, from, "");
    check(
        "smtp.example.com:25",
        Protection::Nothing,
        from,
        "on loopback alone",
    );
    check(
        "127.0.0.1.example.com:25",
        Protection::Nothing,
        from,
        "on loopback alone",
    );
    for place in [
        "smtp.example.com",
        "smtp:0",
        ":25",
        "a b:25",
        "smtp://x:25",
        "x:y:25",
    ] {
        check(place, Protection::Tls, from, "isn't the host and port");
    }
    for from in [
        "",
        "magewarden",
        "a@example.com\r\nBcc: b@example.com",
        "ä@example.com",
    ] {
        check(
            "localhost:25",
            Protection::Nothing,
            from,
            "isn't an address",
        );
    }
    for to in ["a@b.example", "a.b+c@example.com"] {
        assert!(is_address(to), "{to}");
    }
    for to in [
        "a@b.example, c@d.example",
        "<a@b.example>",
        "a b@c.example",
        "a@b.example\n",
        "@",
    ] {
        assert!(!is_address(to), "{to}");
    }
}

#[test]
fn a_head_has_its_own_fields_and_no_others() {
    let mut odd = letter(
        "high: x\r\nBcc: thief@example.com\r\n\r\nbody",
        "a\r\n.\r\nb",
    );
    odd.id = "i\r\nX-A: b".to_owned();
    odd.thread = "j>\r\nX-B: c".to_owned();
    let (names, _) = taken_apart(&odd);
    assert_eq!(sorted(names), sorted(FIELDS));
    assert_eq!(super::one_line("a\u{1d173}b\nc"), "a\u{fffd}b c");
    odd.to = "a@example.com\r\nBcc: b@example.com".to_owned();
    let from = "w@example.com".parse().expect("fits");
    assert!(message(&from, &odd).is_err());
}

proptest! {
    /// Whatever a log says: one subject, no field more, nothing that isn't shown in text that travels as it is.
    #[test]
    fn no_text_gets_into_a_head(subject in any::<String>(), body in any::<String>(), id in any::<String>()) {
        let mut any = letter(&subject, &body);
        any.id = id;
        let (names, sent) = taken_apart(&any);
        prop_assert_eq!(sorted(names), sorted(FIELDS));
        prop_assert!(!sent.chars().any(|one| one.is_control() && one != '\r' && one != '\n'));
        let shown = super::cut(&super::one_line(&subject), SUBJECT_CHARACTERS_MAX);
        prop_assert!(shown.chars().count() <= SUBJECT_CHARACTERS_MAX && !shown.chars().any(model::is_hidden));
    }

    /// The same with line ends and what mail servers read as commands, which random text seldom has.
    #[test]
    fn no_line_end_gets_into_a_head(parts in prop::collection::vec(
        prop::sample::select(vec!["\r\n", "\n", "\r", ".", "Bcc: a@b.example", " ", "\u{2028}", "\u{85}", "=?utf-8?q?x?=", "DATA", "ü", "\u{1d173}", "\u{202e}"]), 0..40)) {
        let text = parts.concat();
        let (names, _) = taken_apart(&letter(&text, &text));
        prop_assert_eq!(sorted(names), sorted(FIELDS));
    }
}
