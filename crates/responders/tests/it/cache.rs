//! The same contract at a real Redis: run by `tests/services/contain.py`, which says where it is.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Arguments;
use responders::as_root::{Operation, Way};
use responders::contract::{Seen, Trial, check_at, seen_in_cache};
use responders::{
    Action, ActionError, Answer, Ask, CacheServer, CacheSettings, Effect, Host, Network, NoAnswer,
    Request, Survey, World, action, gather, memory,
};

use crate::arguments;

/// Whose account for the cache is taken as it stands there.
const MANUAL: &str = include_str!("../../../../docs/containment.md");
/// When the entries of the shop were written.
const WRITTEN: i64 = 1_700_000_000;
/// Databases: default, page cache, sessions; the first has some sessions, too.
const DATABASES: [i64; 3] = [0, 1, 2];

/// A Redis whose databases are ours to empty.
fn place() -> Option<SocketAddr> {
    #[expect(
        clippy::disallowed_methods,
        reason = "where the server is, is said by the script that started it"
    )]
    let told = std::env::var("MAGEWARDEN_TEST_REDIS").ok();
    let port = told?.parse().expect("a port");
    Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// Runs commands at a database, a line each.
fn run(at: SocketAddr, database: i64, commands: &[&str]) {
    let client = redis::Client::open(format!("redis://{at}/{database}")).expect("a client");
    let mut connection = client.get_connection().expect("a server");
    for line in commands {
        let mut words = line.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        for word in words {
            command.arg(word);
        }
        command.query::<()>(&mut connection).expect(line);
    }
}

/// What a Varnish was asked to forget, and what was in the cache then.
type Purged = Arc<Mutex<Vec<(String, usize)>>>;

struct Varnish {
    at: SocketAddr,
    status: u16,
    purged: Purged,
}

impl World for Varnish {
    fn run(&self, program: &[String], _limit: Duration) -> Result<(), ActionError> {
        unreachable!("{program:?}")
    }

    fn read(&self, program: &[String], _limit: Duration) -> Result<Vec<u8>, ActionError> {
        unreachable!("{program:?}")
    }

    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        unreachable!("{way:?} {operation:?}")
    }

    fn ask(&self, _at: SocketAddr, ask: &Ask, _limit: Duration) -> Result<u16, ActionError> {
        unreachable!("{ask:?}")
    }

    fn fetch(&self, _at: SocketAddr, ask: &Ask, _limit: Duration) -> Result<Vec<u8>, ActionError> {
        unreachable!("{ask:?}")
    }

    fn request(
        &self,
        _at: SocketAddr,
        request: &Request,
        _limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let pattern = request
            .headers
            .iter()
            .find(|(name, _)| *name == "X-Magento-Tags-Pattern");
        let (_, pattern) = pattern.expect("a pattern");
        assert_eq!(request.method, "PURGE");
        let seen = seen_in_cache(self.at, &DATABASES);
        let seen = seen.map_err(|error| NoAnswer::Refused {
            how: error.to_string(),
        })?;
        let entries = seen.keys().filter(|key| key.contains(" zc:k:69d_"));
        let mut purged = self.purged.lock().unwrap_or_else(PoisonError::into_inner);
        purged.push((pattern.to_owned(), entries.count()));
        Ok(Answer {
            status: self.status,
            ..Answer::default()
        })
    }

    fn pause(&self, _time: Duration) {}
}

fn shop(at: SocketAddr, folder: &Path, varnish: Varnish) -> Result<Host, ActionError> {
    for database in DATABASES {
        run(at, database, &["FLUSHDB"]);
    }
    let account = MANUAL
        .lines()
        .find_map(|line| line.strip_prefix("ACL SETUSER containment "));
    let account = account.expect("the manual has an account");
    let account = format!("ACL SETUSER containment reset {account}").replace("PASSWORD", "word");
    let session = "HSET sess_a1b2 data customer_base|a:0:{} writes 1";
    let entry = |id: &str| format!("HSET zc:k:{id} d html t CONFIG m {WRITTEN} i 0");
    let many: Vec<_> = (0..1_200).map(|n| entry(&format!("69d_N{n}"))).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    run(
        at,
        0,
        &[
            &account,
            session,
            &entry("69d_CONFIG"),
            &entry("7af_OTHER_SHOP"),
        ],
    );
    run(
        at,
        0,
        &[
            "SADD zc:ti:69d_CONFIG 69d_CONFIG",
            "SADD zc:tags 69d_CONFIG",
            "SET zc:kept 1",
        ],
    );
    run(at, 1, &many);
    run(
        at,
        1,
        &[
            "SADD zc:ti:69d_CAT_P_12 69d_N7 69d_N9 69d_GONE",
            "SADD zc:ti:69d_CAT_P_1 69d_N1",
        ],
    );
    run(at, 2, &[session]);
    let word = folder.join("word");
    std::fs::create_dir_all(folder).expect("a folder");
    let mut host = memory::host(folder)?;
    std::fs::write(&word, "word\n").expect("write");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&word, mode).expect("rights");
    let server = |database| CacheServer { at, database };
    host.settings.cache = Some(CacheSettings {
        servers: vec![server(0), server(1)],
        prefix: "69d_".to_owned(),
        user: Some("containment".to_owned()),
        password_file: Some(word),
        varnish: vec![at],
    });
    host.world = Box::new(varnish);
    Ok(host)
}

fn tried(one: &dyn Action, at: SocketAddr, given: &Arguments, stays: &[&str]) -> Purged {
    let (folder, purged) = (tempfile::tempdir().expect("a folder"), Purged::default());
    let varnish = || Varnish {
        at,
        status: 200,
        purged: Arc::clone(&purged),
    };
    let trial = Trial {
        folder: folder.path(),
        make: &|folder| shop(at, folder, varnish()),
        see: &|| seen_in_cache(at, &DATABASES),
        stays,
    };
    check_at(one, &trial, given);
    purged
}

// One test for all: they share the server's databases.
#[test]
fn the_cache_is_emptied_and_nothing_else_and_varnish_after_it() {
    let Some(at) = place() else {
        #[expect(
            clippy::print_stderr,
            reason = "whoever runs it has to know that nothing was tried"
        )]
        {
            eprintln!(
                "skipped: MAGEWARDEN_TEST_REDIS names no server; tests/services/contain.py starts one"
            );
        }
        return;
    };
    let one = action("purge_cache").expect("an action");
    let all = ["cache 0 zc:k:69d_", "cache 1 zc:k:69d_"];
    let purged = tried(one, at, &Arguments::new(), &all);
    let purged = purged.lock().unwrap_or_else(PoisonError::into_inner);
    // Never before the origin's caches were empty, whatever the process died of.
    assert!(!purged.is_empty() && purged.iter().all(|one| *one == (".*".to_owned(), 0)));
    let tag = arguments(one, &["cat_p_12"]);
    let purged = tried(
        one,
        at,
        &tag,
        &["cache 1 zc:k:69d_N7", "cache 1 zc:k:69d_N9"],
    );
    let purged = purged.lock().unwrap_or_else(PoisonError::into_inner);
    let expected = ("((^|,)cat_p_12(,|$))".to_owned(), 1_199);
    assert!(!purged.is_empty() && purged.iter().all(|one| *one == expected));
    what_is_made_anew_is_not_old(one, at);
    without_a_prefix_every_entry_counts(one, at);
    what_cannot_be_done_is_told(one, at);
    what_is_broken_is_caught(one, at);
    what_is_there_is_evidence_with_its_age_and_nothing_of_what_is_in_it(at);
}

fn what_is_there_is_evidence_with_its_age_and_nothing_of_what_is_in_it(at: SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = host(at, folder.path(), 200);
    run(
        at,
        1,
        &[
            "HSET zc:k:69d_N7 d <html>4111111111111111 t CAT_P_1,FPC m 1700000000",
            "EXPIRE zc:k:69d_N7 600",
        ],
    );
    let pieces = |host: &Host| {
        let all = gather(host, &Arguments::new()).into_iter();
        let ours: Vec<_> = all
            .filter(|one| one.name.starts_with("cache objects"))
            .collect();
        let [first, second]: [_; 2] = ours.try_into().expect("two databases");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        [
            (text(first.content), first.lacks),
            (text(second.content), second.lacks),
        ]
    };
    let [(first, lacks), (second, _)] = pieces(&host);
    assert_eq!(lacks, "");
    assert!(
        first.contains("\tstays\t4\tCONFIG\tzc:k:69d_CONFIG\n"),
        "{first}"
    );
    assert!(
        !first.contains("OTHER_SHOP") && !first.contains("sess_"),
        "{first}"
    );
    assert_eq!(second.lines().count(), 1 + 1_200);
    let line = second
        .lines()
        .find(|line| line.ends_with("\tzc:k:69d_N7"))
        .expect("it is told");
    let fields: Vec<_> = line.split('\t').collect();
    let age: i64 = fields[0].parse().expect("an age");
    let left: i64 = fields[1].parse().expect("seconds");
    assert!(age > 20_000_000 && (1..=600).contains(&left), "{line}");
    assert_eq!(fields[2..4], ["22", "CAT_P_1,FPC"]);
    assert!(
        !second.contains("html") && !second.contains("41111111"),
        "{line}"
    );
    // A server that isn't there, or doesn't let us in, is told and holds nothing up.
    let settings = host.settings.cache.as_mut().expect("settings");
    settings.user = Some("nobody".to_owned());
    settings.servers[0].at = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    for (content, lacks) in pieces(&host) {
        assert!(
            content.is_empty() && lacks.contains("be reached"),
            "{lacks}"
        );
    }
}

/// A host with nothing to hide, its Varnish answering so.
fn host(at: SocketAddr, folder: &Path, status: u16) -> Host {
    let purged = Purged::default();
    shop(at, folder, Varnish { at, status, purged }).expect("a host")
}

fn what_is_made_anew_is_not_old(one: &dyn Action, at: SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, given) = (host(at, folder.path(), 200), Arguments::new());
    let kept = one.survey(&host, &given).expect("survey").kept;
    one.act(&host, &given, &kept).expect("act");
    let entry = |at: i64| format!("HSET zc:k:69d_N7 d clean m {at}");
    run(at, 1, &[&entry(WRITTEN + 1)]);
    let told = one.read_back(&host, &given, &kept).expect("told");
    assert_eq!(told, Effect::InEffect);
    run(at, 1, &[&entry(WRITTEN)]);
    let told = one.read_back(&host, &given, &kept).expect("told");
    assert!(matches!(&told, Effect::Partly(words) if words.starts_with("1 entries")));
    one.act(&host, &given, &kept).expect("act");
    let told = one.read_back(&host, &given, &kept).expect("told");
    assert_eq!(told, Effect::InEffect);
    // Whatever set our mark without the rest: it isn't enough.
    let marks: Seen = seen_in_cache(at, &DATABASES).expect("seen");
    assert!(
        marks
            .keys()
            .any(|key| key.starts_with("cache 1 magewarden:purged:"))
    );
}

/// Where the prefix isn't said, entries of every shop count, and sessions still don't.
fn without_a_prefix_every_entry_counts(one: &dyn Action, at: SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = host(at, folder.path(), 200);
    let settings = host.settings.cache.as_mut().expect("settings");
    settings.prefix = String::new();
    let entries = || {
        let seen = seen_in_cache(at, &DATABASES).expect("seen");
        let of = |part: &str| seen.keys().filter(|key| key.contains(part)).count();
        (of(" zc:k:"), of(" sess_"))
    };
    assert_eq!(entries(), (1_202, 2));
    for (given, left) in [
        (arguments(one, &["cat_p_12"]), 1_200),
        (Arguments::new(), 0),
    ] {
        let kept = one.survey(&host, &given).expect("survey").kept;
        one.act(&host, &given, &kept).expect("act");
        assert_eq!(entries(), (left, 2));
    }
}

fn what_cannot_be_done_is_told(one: &dyn Action, at: SocketAddr) {
    let folder = tempfile::tempdir().expect("a folder");
    let given = Arguments::new();
    #[track_caller]
    fn check(told: Result<Survey, ActionError>, words: &str) {
        let told = told.expect_err("it is refused");
        assert!(
            told.to_string().contains(words) && !told.next().is_empty(),
            "{told}"
        );
    }
    let refusing = host(at, folder.path(), 405);
    let kept = one.survey(&refusing, &given).expect("survey").kept;
    let told = one.act(&refusing, &given, &kept).expect_err("told");
    assert!(told.to_string().contains("405 to PURGE"), "{told}");
    // Emptied, and Varnish not: that isn't in effect.
    let told = one.read_back(&refusing, &given, &kept).expect("told");
    assert!(matches!(told, Effect::Partly(_)), "{told:?}");
    run(at, 0, &["SADD cache:all_ids 69d_CONFIG"]);
    check(one.survey(&refusing, &given), "2.4.9 or later");
    run(at, 0, &["DEL cache:all_ids"]);
    let mut other = host(at, folder.path(), 200);
    let settings = other.settings.cache.as_mut().expect("settings");
    settings.prefix = "123_".to_owned();
    check(one.survey(&other, &given), "there are no entries");
    let settings = other.settings.cache.as_mut().expect("settings");
    settings.prefix = "*".to_owned();
    check(one.survey(&other, &given), "letters, digits");
    let settings = other.settings.cache.as_mut().expect("settings");
    settings.user = None;
    settings.prefix = String::new();
    check(one.survey(&other, &given), "be reached");
    other.settings.cache = None;
    check(one.survey(&other, &given), "no part [cache]");
}

/// What the action does and something else beside it, which the contract has to see.
struct Beside<'a> {
    one: &'a dyn Action,
    at: SocketAddr,
    database: i64,
    command: &'static str,
}

impl Action for Beside<'_> {
    fn facts(&self) -> &'static model::ActionFacts {
        self.one.facts()
    }

    fn survey(&self, host: &Host, given: &Arguments) -> Result<Survey, ActionError> {
        self.one.survey(host, given)
    }

    fn act(&self, host: &Host, given: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        self.one.act(host, given, kept)?;
        run(self.at, self.database, &[self.command]);
        Ok(())
    }

    fn read_back(
        &self,
        host: &Host,
        given: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        self.one.read_back(host, given, kept)
    }

    fn undo(&self, host: &Host, given: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        self.one.undo(host, given, kept)
    }
}

fn what_is_broken_is_caught(one: &dyn Action, at: SocketAddr) {
    for (database, command, words) in [
        (2, "FLUSHDB", "undoing restores: cache 2 sess_a1b2"),
        (0, "DEL sess_a1b2", "undoing restores: cache 0 sess_a1b2"),
        (
            0,
            "DEL zc:k:7af_OTHER_SHOP",
            "undoing restores: cache 0 zc:k:7af_OTHER_SHOP",
        ),
        (0, "APPEND zc:kept x", "twice is as once: cache 0 zc:kept"),
    ] {
        let broken = Beside {
            one,
            at,
            database,
            command,
        };
        let all = ["cache 0 zc:k:69d_", "cache 1 zc:k:69d_"];
        let trying = std::panic::AssertUnwindSafe(|| tried(&broken, at, &Arguments::new(), &all));
        let panic = std::panic::catch_unwind(trying).expect_err("it is caught");
        let said = panic.downcast_ref::<String>().expect("words");
        assert!(said.contains(words), "{said}");
    }
}
