//! Whoever comes to the listener of hosts and is none: of another authority, too late, under a name of somebody else, without words,
//! with too many, or with none at all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use engine::link::Agents;
use link::wire::{Certified, ENROL, Enrolled, RENEW, REPORT, REPORT_BYTES_MAX};
use link::{CallError, Client, HostKey, Identity, Invitation, Request, authority_of};
use model::{HostReply, HostReport};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, version};

use super::{Server, asks, away, client, now, posts, refused, report};

/// An identity that trusts this server and shows a certificate of the caller's making.
fn with(server: &Server, key: &HostKey, certificate: Certified) -> Identity {
    let enrolled = Enrolled {
        v: 1,
        name: "web1".to_owned(),
        installation: "shop".to_owned(),
        plans: server.agents.plans().verifying().to_vec(),
        certificate,
    };
    Identity::new(&server.url(), &server.authority(), key, enrolled).expect("an identity")
}

/// A connection without a certificate.
fn nameless(
    server: &Server,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(server.authority()))
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(Some(Duration::from_secs(15)))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(connection, socket))
}

#[test]
fn a_certificate_of_another_authority_is_none() {
    let (server, other) = (Server::start(), Server::start());
    server.host("web1");
    let key = HostKey::make().expect("a key");
    let word = other.agents.invite("web1", now()).expect("invited");
    let secret = Invitation::read(&word).expect("a word").secret();
    let enrolled = other.agents.enrol(&asks(&secret, &key), now());
    let certificate = enrolled.expect("enrolled").certificate;
    away(posts(&with(&server, &key, certificate), 0), "");
    assert!(server.hosts.names().is_empty());
}

#[test]
fn a_certificate_that_is_over_is_none() {
    let server = Server::start();
    let key = HostKey::make().expect("a key");
    let long_ago = now().plus_seconds(-25 * 3600);
    let word = server.agents.invite("web1", long_ago).expect("invited");
    let secret = Invitation::read(&word).expect("a word").secret();
    let enrolled = server.agents.enrol(&asks(&secret, &key), long_ago);
    let certificate = enrolled.expect("enrolled").certificate;
    let late = with(&server, &key, certificate.clone());
    assert!(late.is_over(now()));
    away(posts(&late, 0), "");
    let renews = client(&late).post::<Certified>(RENEW, &serde_json::json!({}), 0);
    away(renews, "");
    assert!(server.hosts.names().is_empty());
    // The same key with one that holds comes in: it is the time that was refused.
    let shown = certificate.certificate.as_slice().into();
    let holds = server.agents.renew(&shown, now()).expect("renewed");
    assert!(posts(&with(&server, &key, holds), 0).is_ok());
}

#[test]
fn a_name_in_a_certificate_is_nobodys() {
    let server = Server::start();
    server.host("web1");
    // Of our own authority, for a key that nobody let in, under a name that is somebody's.
    let key = HostKey::make().expect("a key");
    let request = Request::read(&key.request().expect("a request")).expect("read");
    let certificate = server.agents.authority().certify("web1", &request, now());
    let identity = with(&server, &key, certificate.expect("signed"));
    refused(posts(&identity, 0), 403);
    assert!(server.hosts.names().is_empty());
}

#[test]
fn without_a_certificate_nothing_is_reported_and_nothing_renewed() {
    let server = Server::start();
    server.host("web1");
    let nobody = Client::nameless(&server.url(), &server.authority());
    refused(nobody.post::<HostReply>(REPORT, &report(), 0), 401);
    refused(
        nobody.post::<Certified>(RENEW, &serde_json::json!({}), 0),
        401,
    );
    refused(
        nobody.post::<HostReply>("/agent/1/other", &report(), 0),
        404,
    );
    assert!(server.hosts.names().is_empty());
}

#[test]
fn a_server_of_another_authority_is_told_nothing() {
    let (server, other) = (Server::start(), Server::start());
    let word = server.agents.invite("web1", now()).expect("invited");
    let invitation = Invitation::read(&word).expect("a word");
    let found = authority_of(&other.url(), invitation.authority);
    away(found, "isn't the server that the invitation names");
    let client = Client::nameless(&other.url(), &server.authority());
    let key = HostKey::make().expect("a key");
    let body = asks(&invitation.secret(), &key);
    away(client.post::<Enrolled>(ENROL, &body, 0), "");
    for address in [
        "http://127.0.0.1:1",
        "127.0.0.1:1",
        "https://",
        "https://a@127.0.0.1:1",
    ] {
        let found = authority_of(address, invitation.authority);
        assert!(matches!(found, Err(CallError::Address { .. })), "{found:?}");
    }
}

#[test]
fn words_that_let_nobody_in_are_few_a_minute() {
    let server = Server::start();
    let word = server.agents.invite("web1", now()).expect("invited");
    let nobody = Client::nameless(&server.url(), &server.authority());
    let key = HostKey::make().expect("a key");
    let mut statuses = Vec::new();
    for guess in 0..12 {
        let body = asks(&format!("{guess:032x}"), &key);
        match nobody.post::<Enrolled>(ENROL, &body, 0) {
            Err(CallError::Refused { status, .. }) => statuses.push(status),
            Err(CallError::Away { why }) if why.starts_with("429") => statuses.push(429),
            answer => panic!("{answer:?}"),
        }
    }
    assert_eq!(statuses, [vec![403; 10], vec![429; 2]].concat());
    // Neither is the right one taken now, and it isn't used up.
    away(server.enrol(&word), "429");
    assert!(server.agents.list().expect("a list").is_empty());
}

#[test]
fn a_report_that_is_too_long_or_none_reaches_nobody() {
    let server = Server::start();
    let identity = server.host("web1");
    let long = HostReport {
        program: "x".repeat(REPORT_BYTES_MAX),
        ..report()
    };
    let answer = client(&identity).post::<HostReply>(REPORT, &long, 0);
    assert!(answer.is_err(), "{answer:?}");
    for none in [
        serde_json::json!([]),
        serde_json::json!({"v": "x"}),
        serde_json::json!(7),
    ] {
        refused(client(&identity).post::<HostReply>(REPORT, &none, 0), 400);
    }
    assert!(server.hosts.names().is_empty());
    assert!(posts(&identity, 0).is_ok());
}

#[test]
fn garbage_is_no_harm() {
    let server = Server::start();
    let identity = server.host("web1");
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 3000],
        &[0x16, 3, 1, 0xff, 0xff],
        b"",
    ] {
        let mut socket = TcpStream::connect(server.address).expect("a connection");
        socket.write_all(garbage).expect("written");
    }
    let mut stream = nameless(&server, &[&version::TLS13]).expect("TLS");
    stream
        .write_all(b"\x00\xff nonsense\r\n\r\n")
        .expect("written");
    let mut answer = Vec::new();
    // It may end without a farewell.
    drop(stream.read_to_end(&mut answer));
    assert!(answer.starts_with(b"HTTP/1.1 400") || answer.is_empty());
    let mut stream = nameless(&server, &[&version::TLS13]).expect("TLS");
    let get = "GET /agent/1/report HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(get.as_bytes()).expect("written");
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert!(posts(&identity, 0).is_ok());
}

#[test]
fn tls_before_1_3_is_refused() {
    let server = Server::start();
    assert!(nameless(&server, &[&version::TLS13]).is_ok());
    assert!(nameless(&server, &[&version::TLS12]).is_err());
}

#[test]
fn who_connects_and_says_nothing_holds_nobody_up() {
    let server = Server::start();
    let identity = server.host("web1");
    // More than wait for a handshake, and more than may be there without a name.
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(server.address).expect("a connection"))
        .collect();
    let mut strangers: Vec<_> = (0..20)
        .map(|_| nameless(&server, &[&version::TLS13]).expect("TLS"))
        .collect();
    assert!(posts(&identity, 0).is_ok());
    let word = server.agents.invite("web2", now()).expect("invited");
    assert!(server.enrol(&word).is_ok());
    // The oldest was ended to make room, long before its time.
    let mut answer = Vec::new();
    let ended = strangers[0].read_to_end(&mut answer);
    let is_ended = match ended {
        Ok(_) => true,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    };
    assert!(is_ended);
    drop(silent);
}

#[test]
fn what_a_host_left_behind_locks_it_out_of_nothing() {
    let server = Server::start();
    let identity = server.host("web1");
    let left: Vec<_> = (0..6).map(|_| client(&identity)).collect();
    for client in &left {
        let answer: Result<HostReply, _> = client.post(REPORT, &report(), 0);
        assert!(answer.is_ok(), "{answer:?}");
    }
    assert!(posts(&identity, 0).is_ok());
}

#[test]
fn keys_of_the_link_are_files_of_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = Server::start();
    server.host("web1");
    for file in ["keys/agents", "keys/plans.key"] {
        let about = std::fs::metadata(server.folder.path().join(file)).expect("a file");
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{file}");
    }
    // They stay what they are.
    let again = Agents::open(server.folder.path(), "shop", now()).expect("open");
    assert_eq!(
        again.authority().fingerprint(),
        server.agents.authority().fingerprint()
    );
    assert_eq!(again.plans().verifying(), server.agents.plans().verifying());
}
