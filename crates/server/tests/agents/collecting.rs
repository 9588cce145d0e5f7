//! Records at the listener: who may hand some over, and what is no such thing. What becomes of them is `engine`'s.

use engine::containment::EVIDENCE_BYTES_MAX;
use engine::link::ReportError;
use link::records::{Batch, Carried, Record, Status, body};
use link::wire::{EVIDENCE, PLACES, Places, RECORDS, RECORDS_BYTES_MAX, Taken};
use link::{CallError, Client, Identity};
use model::Generation;

use super::{Server, away, client, refused};

fn status() -> Status {
    Status {
        v: 1,
        ..Status::default()
    }
}

fn hands(identity: &Identity, bytes: &[u8]) -> Result<Taken, CallError> {
    client(identity).post_bytes(RECORDS, bytes)
}

fn places(client: &Client) -> Result<Places, CallError> {
    client.post(PLACES, &serde_json::json!({ "v": 1 }), 0)
}

#[test]
fn a_host_that_is_let_in_gets_the_key_to_mask_with_and_nobody_else_does() {
    let server = Server::start();
    let identity = server.host("web1");
    let known = places(&client(&identity)).expect("answered");
    assert_eq!((known.fingerprint, known.places), (vec![7; 32], Vec::new()));
    let nameless = Client::nameless(&server.url(), &server.authority());
    refused(places(&nameless).map(drop), 401);
    refused(
        nameless.post_bytes::<Taken>(RECORDS, &body(&status(), b"")),
        401,
    );
    server.agents.remove("web1").expect("removed");
    refused(places(&client(&identity)).map(drop), 403);
    refused(hands(&identity, &body(&status(), b"")), 403);
}

#[test]
fn bodies_that_are_none_are_refused_with_why() {
    let server = Server::start();
    let identity = server.host("web1");
    assert!(hands(&identity, &body(&status(), b"")).is_ok());
    let batch = Batch {
        source: "file:/var/log/a".to_owned(),
        after: None,
        what: Carried::Records {
            generation: Generation::default(),
            format: "nginx_combined".to_owned(),
            records: vec![Record {
                offset_bytes: 0,
                marks: Vec::new(),
                bytes: b"a line\n".to_vec(),
            }],
        },
    };
    let frame = batch.frame();
    let mut bent = frame.clone();
    bent[20] ^= 1;
    let other = Status { v: 9, ..status() };
    for bytes in [
        Vec::new(),
        b"{}".to_vec(),
        vec![0xff; 5000],
        body(&status(), &frame[..frame.len() - 1]),
        body(&status(), &bent),
        body(&other, &frame),
    ] {
        refused(hands(&identity, &bytes), 422);
    }
    // Nothing is taken where nothing takes it on.
    away(
        hands(&identity, &body(&status(), &frame)),
        "503 the server begins",
    );
    let large = vec![0; RECORDS_BYTES_MAX + 1];
    let answer = hands(&identity, &large);
    // A server that stops reading may end the connection before its answer is read.
    match answer {
        Err(CallError::Away { .. }) => {}
        other => refused(other, 413),
    }
}

#[test]
fn evidence_is_handed_over_whole_by_a_host_that_is_let_in() {
    let server = Server::start();
    let identity = server.host("web1");
    let hands = |path: &str, content: &[u8]| client(&identity).post_bytes::<Taken>(path, content);
    let path = format!("{EVIDENCE}?run=r1&sha256=ab");
    assert!(hands(&path, b"processes\n").is_ok());
    let kept = server.hosts.kept.lock().expect("a lock").clone();
    let [(host, piece, content)] = kept.as_slice() else {
        panic!("one piece: {kept:?}");
    };
    assert_eq!(
        (host.as_str(), content.as_slice()),
        ("web1", &b"processes\n"[..])
    );
    assert_eq!((piece.run.as_str(), piece.hash.as_str()), ("r1", "ab"));
    refused(hands(EVIDENCE, b"x"), 400);
    refused(hands(&format!("{EVIDENCE}?run=r1"), b"x"), 400);
    let large = vec![b'x'; EVIDENCE_BYTES_MAX + 1];
    refused(hands(&path, &large), 413);
    *server.hosts.fails.lock().expect("a lock") = Some(ReportError::Away);
    away(hands(&path, b"x"), "come again");
    let why = "no such piece".to_owned();
    *server.hosts.fails.lock().expect("a lock") = Some(ReportError::Unfit { why });
    refused(hands(&path, b"x"), 422);
    let nameless = Client::nameless(&server.url(), &server.authority());
    refused(nameless.post_bytes::<Taken>(&path, b"x"), 401);
    let before = server.hosts.kept.lock().expect("a lock").len();
    server.agents.remove("web1").expect("removed");
    refused(hands(&path, b"x"), 403);
    assert_eq!(server.hosts.kept.lock().expect("a lock").len(), before);
}
