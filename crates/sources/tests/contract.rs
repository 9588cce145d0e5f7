//! What holds for every live source that is sent to: records in order, once, at rising places; an answer only
//! after sealing; an end soon after it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Timestamp;
use sha2::Sha256;
use sources::{Chunk, Given, Positions, Running};

/// How a kind is sent to.
struct Case {
    kind: &'static str,
    settings: fn(&std::path::Path) -> String,
    /// Sends records; gives what the sender was told, if it is told anything.
    send: fn(SocketAddr, &[String]) -> Option<u16>,
    /// What was sent, of a chunk's bytes.
    read: fn(&[u8]) -> String,
}

/// Of a source that hands over what it was sent.
fn as_sent(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The record of which a source that observes tells by a number in a field.
fn by_number(bytes: &[u8], field: &str) -> String {
    let told: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
    let name = told[field].as_str().expect("the field");
    record(name.split('.').next().expect("a number"))
}

fn record(number: impl std::fmt::Display) -> String {
    format!("<13>1 2026-08-05T10:15:30Z host app - - - record {number}")
}

/// The number of a record.
fn number(record: &str) -> &str {
    record.rsplit(' ').next().expect("a number")
}

const CASES: [Case; 7] = [
    Case {
        kind: "syslog",
        settings: |_| "listen = \"udp://127.0.0.1:0\"".to_owned(),
        send: |address, records| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            for record in records {
                socket.send_to(record.as_bytes(), address).expect("sent");
            }
            None
        },
        read: as_sent,
    },
    Case {
        kind: "syslog",
        settings: |_| "listen = \"tcp://127.0.0.1:0\"".to_owned(),
        send: |address, records| {
            let mut stream = TcpStream::connect(address).expect("connects");
            for record in records {
                write!(stream, "{} {record}", record.len()).expect("sent");
            }
            None
        },
        read: as_sent,
    },
    Case {
        kind: "syslog",
        settings: |_| "listen = \"tcp://127.0.0.1:0\"".to_owned(),
        send: |address, records| {
            let mut stream = TcpStream::connect(address).expect("connects");
            for record in records {
                writeln!(stream, "{record}").expect("sent");
            }
            None
        },
        read: as_sent,
    },
    Case {
        kind: "http",
        settings: http_settings,
        send: |address, records| {
            let path = "/v1/records?source=web1&format=plain";
            Some(post(address, path, "", &records.join("\n")))
        },
        read: as_sent,
    },
    Case {
        kind: "http",
        settings: http_settings,
        send: |address, records| {
            let events: String = records
                .iter()
                .map(|record| {
                    serde_json::json!({ "event": record, "sourcetype": "plain" }).to_string()
                })
                .collect();
            Some(post(address, "/services/collector/event", "", &events))
        },
        read: as_sent,
    },
    Case {
        kind: "csp_reports",
        settings: |_| "listen = \"127.0.0.1:0\"".to_owned(),
        send: |address, records| {
            let mut told = None;
            for record in records {
                // What comes from two networks is told however much is new.
                for network in 1..=2 {
                    let body = serde_json::json!({"csp-report": {"document-uri": "https://shop.example/checkout",
                        "effective-directive": "img-src", "blocked-uri": format!("https://{}.example/", number(record))}});
                    let from = format!("X-Forwarded-For: 192.0.{network}.1\r\n");
                    let status = post(address, "/", &from, &body.to_string());
                    told = told.max(Some(if status == 204 { 200 } else { status }));
                }
            }
            told
        },
        read: |bytes| by_number(bytes, "page.name"),
    },
    Case {
        kind: "gateway",
        settings: |folder| {
            let secrets = folder.join("stripe");
            std::fs::write(&secrets, STRIPE).expect("written");
            std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600))
                .expect("set");
            format!(
                "listen = \"127.0.0.1:0\"\nstripe = \"{}\"",
                secrets.display()
            )
        },
        send: |address, records| {
            let said = records.iter().map(|record| stripe(address, number(record)));
            said.max()
        },
        read: |bytes| by_number(bytes, "gateway.id"),
    },
];

const STRIPE: &str = "whsec_of_this_test";
/// What the clock says, in seconds since 1970.
const NOW: i64 = 1_754_388_930;

/// Posts a message of Stripe's; gives the status.
fn stripe(address: SocketAddr, id: &str) -> u16 {
    let body =
        serde_json::json!({"id": id, "type": "charge.succeeded", "created": NOW}).to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(STRIPE.as_bytes()).expect("any length");
    mac.update(format!("{NOW}.{body}").as_bytes());
    let code: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let header = format!("Stripe-Signature: t={NOW},v1={code}\r\n");
    post(address, "/stripe", &header, &body)
}

fn http_settings(folder: &std::path::Path) -> String {
    let tokens = folder.join("tokens");
    std::fs::write(&tokens, "# who may send\nmany-letters\n").expect("written");
    std::fs::set_permissions(&tokens, std::fs::Permissions::from_mode(0o600)).expect("set");
    format!(
        "listen = \"127.0.0.1:0\"\ntokens = \"{}\"",
        tokens.display()
    )
}

/// Posts a body; gives the status.
fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("connects");
    let token = if headers.contains("Authorization") {
        ""
    } else {
        "Authorization: Bearer many-letters\r\n"
    };
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: x\r\n{token}{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status")
}

fn given(resume: Positions) -> Given {
    Given {
        now: Timestamp(NOW * Timestamp::SECOND),
        resume,
        formats: vec!["plain", "nginx_combined"],
        database: None,
        data: std::env::temp_dir(),
        clock: || Timestamp(NOW * Timestamp::SECOND),
        key: [7; 32],
        magento: None,
        signatures: std::sync::Arc::new(sources::Signatures::parse(&[], &[]).expect("none")),
        cards: std::sync::Arc::new(|_| 0),
    }
}

/// Starts one source; gives where it listens.
fn start(kind: &str, settings: &str, resume: Positions) -> (Running, SocketAddr) {
    let table = toml::from_str(settings).expect("TOML");
    let source = sources::kind(kind)
        .expect("a kind")
        .open(table, &given(resume))
        .expect("opens");
    let id = source.id().0;
    let place = id
        .strip_prefix("syslog:")
        .map_or(id.as_str(), |rest| rest)
        .split_once(':')
        .expect("a place")
        .1
        .to_owned();
    let running = Running::start(vec![source]).expect("starts");
    (running, place.parse().expect("an address"))
}

/// Takes deliveries until `count` records came, saying of each that it is sealed.
fn take(running: &Running, count: usize) -> Vec<Chunk> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut chunks = Vec::new();
    while chunks.len() < count && Instant::now() < until {
        if let Some(delivery) = running.next(Duration::from_millis(50)) {
            chunks.extend(
                delivery
                    .chunks
                    .into_iter()
                    .filter(|chunk| !chunk.bytes.is_empty()),
            );
            if let Some(receipt) = delivery.receipt {
                receipt.sealed();
            }
        }
    }
    chunks
}

fn ends_soon(running: &Running) {
    running.stop();
    let until = Instant::now() + Duration::from_secs(3);
    while !running.ended() {
        assert!(Instant::now() < until, "it doesn't end");
        drop(running.next(Duration::from_millis(10)));
    }
}

#[test]
fn every_record_comes_once_in_order_at_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let records: Vec<String> = (0..500).map(record).collect();
    for case in &CASES {
        let (running, address) =
            start(case.kind, &(case.settings)(folder.path()), Positions::new());
        let (send, sent) = (case.send, records.clone());
        let sender = std::thread::spawn(move || send(address, &sent));
        let chunks = take(&running, records.len());
        let told = sender.join().expect("sent");
        assert!(
            told.is_none_or(|status| status == 200),
            "{} {told:?}",
            case.kind
        );
        let found: Vec<_> = chunks
            .iter()
            .map(|chunk| (case.read)(&chunk.bytes))
            .collect();
        assert_eq!(found, records, "{}", case.kind);
        let mut next = 0;
        for chunk in &chunks {
            assert!(chunk.offset_bytes >= next, "places rise");
            next = chunk.offset_bytes + chunk.bytes.len() as u64;
            assert_eq!(chunk.source, chunks[0].source);
            assert_eq!(chunk.generation, chunks[0].generation);
        }
        ends_soon(&running);
    }
}

#[test]
fn ends_soon_while_nobody_takes() {
    let folder = tempfile::tempdir().expect("a folder");
    // Side by side: each waits for its patience.
    std::thread::scope(|scope| {
        for case in &CASES {
            let settings = (case.settings)(folder.path());
            scope.spawn(move || ends_while_nobody_takes(case, &settings));
        }
    });
}

fn ends_while_nobody_takes(case: &Case, settings: &str) {
    let (running, address) = start(case.kind, settings, Positions::new());
    let send = case.send;
    // Far more than the queue holds; whoever waits for an answer isn't waited for here.
    let records: Vec<String> = (0..2000)
        .map(|number| format!("<13>record {number}"))
        .collect();
    let _sender = std::thread::spawn(move || {
        for _ in 0..20 {
            if std::panic::catch_unwind(|| send(address, &records)).is_err() {
                break;
            }
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    running.stop();
    let until = Instant::now() + Duration::from_secs(12);
    while !running.ended() {
        assert!(Instant::now() < until, "{} doesn't end", case.kind);
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn http_answers_after_sealing_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, address) = start("http", &http_settings(folder.path()), Positions::new());
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let status = post(address, "/v1/records?source=a", "", "one\ntwo\n");
        told.send(status).expect("heard");
    });
    let delivery = loop {
        let delivery = running.next(Duration::from_secs(5)).expect("delivered");
        if delivery.receipt.is_some() {
            break delivery;
        }
    };
    assert!(answer.recv_timeout(Duration::from_millis(200)).is_err());
    delivery.receipt.expect("waited for").sealed();
    assert_eq!(answer.recv_timeout(Duration::from_secs(5)), Ok(200));
    ends_soon(&running);
}

#[test]
fn numbered_records_are_sealed_once_also_after_a_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = "/v1/records?source=a&format=plain&generation=7&offset=";
    let (running, address) = start("http", &http_settings(folder.path()), Positions::new());
    let sender = std::thread::spawn(move || {
        // The second is a copy; the third overlaps.
        [
            post(address, &format!("{path}0"), "", "one\ntwo\n"),
            post(address, &format!("{path}0"), "", "one\ntwo\n"),
            post(address, &format!("{path}4"), "", "two\nthree\n"),
        ]
    });
    let chunks = take(&running, 3);
    assert_eq!(sender.join().expect("sent"), [200; 3]);
    let texts: Vec<_> = chunks.iter().map(|chunk| chunk.bytes.as_slice()).collect();
    assert_eq!(texts, [b"one".as_slice(), b"two", b"three"]);
    ends_soon(&running);

    // What the ledger holds up to there is what a new start begins with.
    let last = chunks.last().expect("three");
    let end = last.offset_bytes + last.bytes.len() as u64;
    let resume = Positions::from([(
        last.source.clone(),
        (last.generation, model::Position { offset_bytes: end }),
    )]);
    let (running, address) = start("http", &http_settings(folder.path()), resume);
    let sender =
        std::thread::spawn(move || post(address, &format!("{path}4"), "", "two\nthree\nfour\n"));
    let chunks = take(&running, 1);
    assert_eq!(sender.join().expect("sent"), 200);
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].bytes, b"four");
    ends_soon(&running);
}

#[test]
fn numbered_records_that_were_late_are_sealed_once_when_they_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = "/v1/records?source=a&format=plain&offset=0";
    let (running, address) = start("http", &http_settings(folder.path()), Positions::new());
    let first = std::thread::spawn(move || post(address, path, "", "one\ntwo\n"));
    let late = loop {
        let delivery = running.next(Duration::from_secs(5)).expect("delivered");
        if delivery.receipt.is_some() {
            break delivery;
        }
    };
    // As long as nobody knows whether it is sealed, a copy is not handed over.
    assert_eq!(first.join().expect("sent"), 503);
    let again = std::thread::spawn(move || post(address, path, "", "one\ntwo\nthree\n"));
    std::thread::sleep(Duration::from_millis(200));
    assert!(running.ready().is_none());
    late.receipt.expect("waited for").sealed();
    let chunks = take(&running, 1);
    assert_eq!(again.join().expect("sent"), 200);
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].bytes, b"three");
    ends_soon(&running);
}

#[test]
fn a_gateways_message_that_was_late_is_sealed_once_when_it_comes_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = CASES.last().expect("the gateway");
    let settings = (case.settings)(folder.path());
    let (running, address) = start(case.kind, &settings, Positions::new());
    let first = std::thread::spawn(move || stripe(address, "evt_1"));
    let late = loop {
        let delivery = running.next(Duration::from_secs(5)).expect("delivered");
        if delivery.receipt.is_some() {
            break delivery;
        }
    };
    assert_eq!(first.join().expect("sent"), 503);
    let again = std::thread::spawn(move || stripe(address, "evt_1"));
    std::thread::sleep(Duration::from_millis(200));
    late.receipt.expect("waited for").sealed();
    assert_eq!(again.join().expect("sent"), 200);
    assert!(running.ready().is_none());
    ends_soon(&running);
}

#[test]
fn http_lets_in_who_has_a_token_and_names_its_limits() {
    let folder = tempfile::tempdir().expect("a folder");
    let (running, address) = start("http", &http_settings(folder.path()), Positions::new());
    let check = |path: &str, headers: &str, body: &str, expected: u16| {
        assert_eq!(
            post(address, path, headers, body),
            expected,
            "{path} {headers}"
        );
    };
    let raw = "/services/collector/raw?source=a";
    check(raw, "Authorization: Splunk other\r\n", "x", 403);
    check(raw, "Authorization: Basic eDpvdGhlcg==\r\n", "x", 403);
    check(raw, "Authorization: nothing\r\n", "x", 401);
    check(raw, "", "", 400);
    check("/v1/records?source=a&format=none", "", "x", 400);
    check("/v1/records?source=%0a", "", "x", 400);
    check("/v1/records", "", "x", 400);
    check("/v1/records?source=a&offset=1", "", "x", 400);
    check("/services/collector/event", "", "{\"event\":", 400);
    check("/services/collector/event", "", "{\"host\":\"x\"}", 400);
    check("/v1/logs", "", "\u{1}\u{1}", 400);
    check("/v1/records?source=a", "Content-Encoding: br\r\n", "x", 400);
    check(
        "/v1/records?source=a",
        "Content-Encoding: gzip\r\n",
        "x",
        400,
    );
    check("/v1/records?source=a", "", &"a\n".repeat(100_001), 413);
    check("/v1/records?source=a", "", &"a".repeat((16 << 20) + 1), 413);
    ends_soon(&running);
}
