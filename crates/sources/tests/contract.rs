//! What holds for every live source that is sent to: records in order, once, at rising places; an answer only
//! after sealing; an end soon after it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use model::Timestamp;
use sources::{Chunk, Given, Positions, Running};

/// How a kind is sent to.
struct Case {
    kind: &'static str,
    settings: fn(&std::path::Path) -> String,
    /// Sends records; gives what the sender was told, if it is told anything.
    send: fn(SocketAddr, &[String]) -> Option<u16>,
}

const CASES: [Case; 5] = [
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
    },
    Case {
        kind: "http",
        settings: http_settings,
        send: |address, records| {
            let path = "/v1/records?source=web1&format=plain";
            Some(post(address, path, "", &records.join("\n")))
        },
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
    },
];

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
        now: Timestamp(1_754_388_930_000_000),
        resume,
        formats: vec!["plain", "nginx_combined"],
        database: None,
        data: std::env::temp_dir(),
        clock: || Timestamp(1_754_388_930_000_000),
        key: [7; 32],
        magento: None,
        signatures: std::sync::Arc::new(sources::Signatures::parse(&[]).expect("none")),
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
    let records: Vec<String> = (0..500)
        .map(|number| format!("<13>1 2026-08-05T10:15:30Z host app - - - record {number}"))
        .collect();
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
            .map(|chunk| String::from_utf8_lossy(&chunk.bytes).into_owned())
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
    for case in &CASES {
        let (running, address) =
            start(case.kind, &(case.settings)(folder.path()), Positions::new());
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
