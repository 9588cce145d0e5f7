//! The helper and who asks it, over a real socket; its programs are any that are on every host.

use super::serve;
use crate::ActionError;
use crate::as_root::operation::REQUEST_BYTES_MAX;
use crate::as_root::{FilterPrograms, NginxPrograms, Operation, Reply, RootSettings, Rules, ask};
use crate::network::Network;
use crate::nginx;
use crate::nginx::Rule;
use model::StoreMap;
use nix::unistd::geteuid;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// A folder with our include files, root's settings for it, and a socket.
struct Place {
    folder: tempfile::TempDir,
    settings: RootSettings,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["http.conf", "server.conf"] {
            let file = folder.path().join(name);
            std::fs::write(&file, "").expect("written");
            let mode = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(file, mode).expect("rights");
        }
        let settings = RootSettings {
            account: geteuid().as_raw(),
            stores: None,
            nginx: Some(NginxPrograms {
                folder: folder.path().to_owned(),
                test: vec!["/bin/true".to_owned()],
                reload: vec!["/bin/ls".to_owned(), "/nowhere at all".to_owned()],
            }),
            nftables: Some(FilterPrograms {
                program: "/bin/false".to_owned(),
                never: vec!["192.0.2.0/24".to_owned()],
            }),
        };
        Self { folder, settings }
    }

    /// Asks while the helper listens; gives what it told besides.
    fn during(&self, asking: impl FnOnce(&Path)) -> Vec<String> {
        let socket = self.folder.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let (stop, told) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let tell = |line: &str| told.lock().expect("a lock").push(line.to_owned());
                let stores = StoreMap::default();
                serve(&listener, &self.settings, &stores, &stop, &tell).expect("served");
            });
            asking(&socket);
            stop.store(true, Ordering::SeqCst);
        });
        std::fs::remove_file(&socket).expect("removed");
        told.into_inner().expect("a lock")
    }
}

#[track_caller]
fn fails(socket: &Path, operation: &Operation, words: &str) {
    let error = ask(socket, operation).expect_err("it fails");
    assert!(error.to_string().contains(words), "{error}");
    assert!(!error.next().is_empty());
}

#[test]
fn what_is_asked_is_done_by_roots_programs_and_told() {
    let place = Place::new();
    let network = |text| Network::read(text).expect("a network");
    let rules = Rules(
        Rule::read("route /rest/V1/guest-carts")
            .into_iter()
            .collect(),
    );
    let modified = Some(UNIX_EPOCH + Duration::new(1_786_000_000, 5));
    let put = Operation::PutRules {
        rules: rules.clone(),
        modified,
    };
    let told = place.during(|socket| {
        assert_eq!(ask(socket, &Operation::TestNginx).expect("done"), None);
        fails(socket, &Operation::ReloadNginx, "No such file");
        fails(
            socket,
            &Operation::ListNetworks,
            "`/bin/false --json list tables inet` failed",
        );
        let spared = Operation::AddNetwork(network("192.0.2.7"));
        fails(socket, &spared, "192.0.2.0/24 is never dropped here");
        assert_eq!(ask(socket, &put).expect("done"), None);
    });
    let file = place.folder.path().join("http.conf");
    let content = std::fs::read_to_string(&file).expect("read");
    assert_eq!(content, nginx::http(&rules.0, &StoreMap::default()));
    let about = std::fs::metadata(&file).expect("it is there");
    assert_eq!(about.modified().ok(), modified);
    let last = told.last().expect("a line");
    assert!(
        last.ends_with(": put_rules [route /rest/V1/guest-carts]: done"),
        "{last}"
    );
    assert_eq!(told.len(), 5, "{told:?}");
}

#[test]
fn nothing_is_done_beside_files_that_others_may_write_or_without_settings() {
    let mut place = Place::new();
    let file = place.folder.path().join("server.conf");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("rights");
    let put = Operation::PutRules {
        rules: Rules::default(),
        modified: None,
    };
    place.during(|socket| {
        for operation in [&Operation::TestNginx, &Operation::ReloadNginx, &put] {
            fails(socket, operation, "isn't root's alone: others may write");
        }
    });
    let written = std::fs::read(place.folder.path().join("http.conf"));
    assert_eq!(written.expect("read"), b"");
    (place.settings.nginx, place.settings.nftables) = (None, None);
    place.during(|socket| {
        fails(socket, &Operation::TestNginx, "no part [nginx]");
        fails(socket, &Operation::ListNetworks, "no part [nftables]");
    });
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_heard() {
    let place = Place::new();
    let told = place.during(|socket| {
        let long = vec![b'x'; REQUEST_BYTES_MAX + 2];
        for (bytes, words) in [
            (&b"\x1b]0;x\x07\n"[..], "no request"),
            (b"{\"operation\":\"run\"}\n", "it is one of add_network"),
            (
                b"{\"operation\":\"test_nginx\"}\n{\"operation\":\"test_nginx\"}\n",
                "one request a call",
            ),
            (
                b"{\"operation\":\"test_nginx\"}",
                "it ends before its line does",
            ),
            (&long, "at most 65536 bytes"),
        ] {
            let mut link = UnixStream::connect(socket).expect("a call");
            link.write_all(bytes).expect("sent");
            link.shutdown(std::net::Shutdown::Write).expect("ended");
            let mut answer = Vec::new();
            link.read_to_end(&mut answer).expect("an answer");
            match Reply::read(&answer).expect("a reply") {
                Reply::Refused { why } => assert!(why.contains(words), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        ask(socket, &Operation::TestNginx).expect("done");
    });
    assert_eq!(told.len(), 6, "{told:?}");
}

#[test]
fn who_isnt_there_or_answers_nonsense_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let told = ask(&socket, &Operation::TestNginx).expect_err("nobody");
    assert!(matches!(&told, ActionError::Root { .. }), "{told}");
    let listener = UnixListener::bind(&socket).expect("a socket");
    for (answer, words) in [
        (&b""[..], "it ended before it answered"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "its answer can't be read"),
        (
            b"{\"reply\":\"networks\",\"networks\":[\"x\"]}\n",
            "what is no network",
        ),
    ] {
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let (mut link, _) = listener.accept().expect("a call");
                let mut request = [0; 64];
                let _read = link.read(&mut request).expect("a request");
                link.write_all(answer).expect("sent");
            });
            fails(&socket, &Operation::ListNetworks, words);
        });
    }
}
