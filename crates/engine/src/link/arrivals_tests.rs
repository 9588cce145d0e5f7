//! What hosts hand over, at a queue that a double of the pipeline empties.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use link::records::{Batch, Carried, Happened, Record, Status};
use model::{Generation, Mark, MarkKind, Position, SourceId, Timestamp};
use sources::{Delivery, News, Positions, Running, Source as _};

use super::{ArrivalError, Arrivals, follow, of_host};
use crate::link::Agents;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn now() -> Timestamp {
    NOW
}

fn generation(inode: u64) -> Generation {
    Generation {
        inode,
        ..Generation::default()
    }
}

fn place(inode: u64, offset_bytes: u64) -> (Generation, Position) {
    (generation(inode), Position { offset_bytes })
}

/// A batch of lines of eight bytes from a place on.
fn batch(source: &str, inode: u64, from: u64, count: u64) -> Batch {
    let records = (0..count).map(|number| Record {
        offset_bytes: from + number * 8,
        marks: Vec::new(),
        bytes: b"a line.\n".to_vec(),
    });
    Batch {
        source: source.to_owned(),
        after: (from > 0).then(|| place(inode, from)),
        what: Carried::Records {
            generation: generation(inode),
            format: "nginx_combined".to_owned(),
            records: records.collect(),
        },
    }
}

fn status() -> Status {
    Status {
        v: 1,
        spool_bytes_max: 1 << 30,
        ..Status::default()
    }
}

struct House {
    _folder: tempfile::TempDir,
    agents: Arc<Agents>,
    arrivals: Arrivals,
    running: Running,
}

fn house(positions: &Positions) -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let agents = Arc::new(Agents::open(folder.path(), "shop", NOW).expect("open"));
    let arrivals = Arrivals::new(Arc::clone(&agents), positions, [7; 32], now);
    let running = Running::start(vec![Box::new(arrivals.clone())]).expect("a thread");
    // It takes nothing before it runs.
    while arrivals.0.hand.lock().expect("a lock").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    House {
        _folder: folder,
        agents,
        arrivals,
        running,
    }
}

impl House {
    /// The next delivery with records.
    fn delivery(&self) -> Delivery {
        for _ in 0..50 {
            let next = self.running.next(Duration::from_millis(100));
            if let Some(delivery) = next.filter(|one| one.receipt.is_some()) {
                return delivery;
            }
        }
        panic!("nothing was handed over");
    }

    /// Hands over, and seals what comes.
    fn take(&self, host: &str, batches: Vec<Batch>) -> Result<Vec<String>, ArrivalError> {
        let arrivals = self.arrivals.clone();
        std::thread::scope(|scope| {
            let taken = scope.spawn(move || arrivals.take(host, status(), batches));
            let mut sources = Vec::new();
            while !taken.is_finished() {
                let next = self.running.next(Duration::from_millis(5));
                for chunk in next.iter().flat_map(|one| &one.chunks) {
                    sources.push(chunk.source.0.clone());
                }
                if let Some(receipt) = next.and_then(|one| one.receipt) {
                    receipt.sealed();
                }
            }
            taken.join().expect("no panic").map(|()| sources)
        })
    }

    fn places(&self, host: &str) -> BTreeMap<String, (Generation, Position)> {
        let places = self.arrivals.places(host).expect("known").places;
        let places = places.into_iter();
        places
            .map(|one| (one.source, (one.generation, one.position)))
            .collect()
    }
}

#[test]
fn records_come_once_in_order_and_under_the_name_of_their_host() {
    let house = house(&Positions::new());
    let first = batch("file:/a", 1, 0, 2);
    let taken = house.take("web1", vec![first.clone(), batch("file:/a", 1, 16, 1)]);
    assert_eq!(taken.expect("taken"), ["web1/file:/a"; 3]);
    assert_eq!(
        house.places("web1"),
        BTreeMap::from([("file:/a".to_owned(), place(1, 24))])
    );
    // Once more, with a gap, and of another incarnation that comes after another place.
    for wrong in [
        first.clone(),
        batch("file:/a", 1, 32, 1),
        batch("file:/a", 2, 8, 1),
    ] {
        assert_eq!(house.take("web1", vec![wrong]), Err(ArrivalError::Moved));
    }
    // Another host's are its own, whatever they are called.
    assert_eq!(house.places("web2"), BTreeMap::new());
    let taken = house.take("web2", vec![first]);
    assert_eq!(taken.expect("taken"), ["web2/file:/a"; 2]);
    assert_eq!(house.places("web1")["file:/a"], place(1, 24));
    // A new incarnation, and what happened before it.
    let mut next = batch("file:/a", 2, 0, 1);
    next.after = Some(place(1, 24));
    let rotated = Batch {
        source: "file:/a".to_owned(),
        after: Some(place(1, 24)),
        what: Carried::Happened(Happened::Rotated),
    };
    let taken = house.take("web1", vec![rotated, next]);
    assert_eq!(taken.expect("taken").len(), 2);
    assert_eq!(house.places("web1")["file:/a"], place(2, 8));
}

#[test]
fn a_start_goes_on_where_the_ledger_stands() {
    let at = |name: &str, offset| (SourceId(name.to_owned()), place(1, offset));
    let positions = Positions::from([
        at("web1/file:/a", 16),
        at("web2/file:/a", 800),
        at("file:/a", 7),
        at("syslog:127.0.0.1", 9),
    ]);
    let house = house(&positions);
    assert_eq!(house.places("web1")["file:/a"], place(1, 16));
    assert_eq!(house.places("web3"), BTreeMap::new());
    let taken = house.take("web1", vec![batch("file:/a", 1, 16, 1)]);
    assert_eq!(taken.expect("taken").len(), 1);
    for (name, expected) in [
        ("web1/file:/a", Some(("web1", "file:/a"))),
        ("file:/var/log/a", None),
        ("http:web1/file:/a", None),
        ("web1/syslog", None),
        ("a_b/file:/a", None),
    ] {
        assert_eq!(of_host(&SourceId(name.to_owned())), expected, "{name}");
    }
}

#[test]
fn what_is_not_known_to_be_sealed_is_waited_for_before_anything_else() {
    let house = house(&Positions::new());
    let arrivals = house.arrivals.clone();
    let ask = |batches| arrivals.take("web1", status(), batches);
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| ask(vec![batch("file:/a", 1, 0, 1)]));
        let delivery = house.delivery();
        // While it is sealed, nothing is said of places and nothing is taken.
        let busy = |error| matches!(error, ArrivalError::Away { .. });
        assert!(house.arrivals.places("web1").is_err_and(busy));
        assert!(ask(vec![batch("file:/a", 1, 0, 1)]).is_err_and(busy));
        // Another host isn't held up.
        assert!(house.arrivals.places("web2").is_ok());
        delivery.receipt.expect("a receipt").sealed();
        assert_eq!(taken.join().expect("no panic"), Ok(()));
    });
    assert_eq!(house.places("web1")["file:/a"], place(1, 8));
    // One that ends without sealing leaves it open: only who starts next knows, from the ledger.
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| ask(vec![batch("file:/a", 1, 8, 1)]));
        drop(house.delivery());
        let away = |error| matches!(error, ArrivalError::Away { .. });
        assert!(taken.join().expect("no panic").is_err_and(away));
        assert!(house.arrivals.places("web1").is_err_and(away));
    });
}

#[track_caller]
fn unfit(change: impl FnOnce(&mut Batch), expected: &str) {
    let mut one = batch("file:/a", 1, 0, 1);
    change(&mut one);
    match follow(&BTreeMap::new(), "web1", vec![one]) {
        Err(ArrivalError::Unfit { why }) => assert!(why.contains(expected), "{why}"),
        other => panic!("{:?}", other.map(|(places, _)| places)),
    }
}

#[test]
fn hostile_batches_are_refused_with_why() {
    let format = |batch: &mut Batch, name: &str| {
        if let Carried::Records { format, .. } = &mut batch.what {
            name.clone_into(format);
        }
    };
    unfit(
        |batch| batch.source = "magewarden:people".to_owned(),
        "file:PATH",
    );
    unfit(
        |batch| batch.source = "web2/file:/a".to_owned(),
        "file:PATH",
    );
    for path in ["file:/log/4111111111111111", "file:/log/\u{202e}gol"] {
        unfit(|batch| batch.source = path.to_owned(), "what is masked");
    }
    unfit(|batch| format(batch, "nothing"), "doesn't know the format");
    // What magewarden itself saw is nobody's to say.
    unfit(
        |batch| format(batch, parse::OBSERVATION),
        "doesn't know the format",
    );
    let many = (0..201).map(|number| batch(&format!("file:/{number}"), 1, 0, 1));
    let many = follow(&BTreeMap::new(), "web1", many.collect());
    assert!(matches!(many, Err(ArrivalError::Unfit { .. })));
    let house = house(&Positions::new());
    let other = Status { v: 2, ..status() };
    let refused = house.arrivals.take("web1", other, Vec::new());
    assert!(matches!(refused, Err(ArrivalError::Unfit { .. })));
    let large = (0..6).map(|number| batch(&format!("file:/{number}"), 1, 0, 20_000));
    let refused = house.arrivals.take("web1", status(), large.collect());
    assert!(matches!(refused, Err(ArrivalError::Unfit { .. })));
}

#[test]
fn marks_of_the_host_go_along() {
    let mut one = batch("file:/a", 1, 0, 1);
    let mark = Mark {
        offset_bytes: 2,
        length_bytes: 4,
        kind: MarkKind::Pan,
        brand: None,
        digits: 16,
        last_four: Some(*b"1111"),
        fingerprint: Some([3; 16]),
        is_test: true,
    };
    if let Carried::Records { records, .. } = &mut one.what {
        records[0].marks.push(mark.clone());
    }
    let (_, chunks) = follow(&BTreeMap::new(), "web1", vec![one]).expect("follows");
    assert_eq!(chunks[0].marks, [mark]);
    assert_eq!(chunks[0].format, Some("nginx_combined"));
}

#[test]
fn how_hosts_are_is_told_and_their_silence_too() {
    let positions = Positions::from([(SourceId("web1/file:/a".to_owned()), place(1, 8))]);
    let house = house(&positions);
    let word = house.agents.invite("web1", NOW).expect("invited");
    let key = link::HostKey::make().expect("a key");
    let asks = link::wire::Enrol {
        v: 1,
        secret: link::Invitation::read(&word).expect("a word").secret(),
        request: key.request().expect("a request"),
    };
    house.agents.enrol(&asks, NOW).expect("enrolled");
    let look = |seconds| house.arrivals.look(NOW.plus_seconds(seconds));
    let told = |seconds, expected: &str| {
        let told = look(seconds);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, SourceId("host:web1".to_owned()));
        assert!(format!("{:?}", told[0].1).contains(expected), "{told:?}");
        matches!(told[0].1, News::Failed { .. })
    };
    // One that the ledger knows is waited for from the start on.
    assert_eq!(look(300), []);
    assert!(told(301, "nothing was heard of host web1"));
    assert_eq!(look(400), []);
    house.arrivals.hear("web1", status());
    assert!(!told(0, "its spool holds 0 of 1024 MiB"));
    let full = Status {
        trouble: "4111111111111111: the spool is full\u{1b}[2J\u{202e}".to_owned(),
        ..status()
    };
    house.arrivals.hear("web1", full);
    assert!(told(1, "************1111: the spool is full[2J\""));
    house.arrivals.hear("web1", status());
    assert!(!told(2, "its spool holds"));
    // Words that differ a little aren't told each second.
    let more = Status {
        spool_bytes: 3 << 20,
        ..status()
    };
    house.arrivals.hear("web1", more);
    assert_eq!(look(3), []);
    assert!(!told(20, "holds 3 of 1024 MiB"));
    // One that was removed is expected no more.
    house.agents.remove("web1").expect("removed");
    assert!(!told(1000, "it was removed"));
    assert_eq!(look(2000), []);
    assert_eq!(house.arrivals.id(), SourceId("hosts".to_owned()));
}

static LATER: AtomicI64 = AtomicI64::new(0);

#[test]
fn a_host_hands_over_so_much_a_minute() {
    let later = || NOW.plus_seconds(LATER.load(Ordering::SeqCst));
    let house = house(&Positions::new());
    let own = Arrivals::new(Arc::clone(&house.agents), &Positions::new(), [7; 32], later);
    let door = own.door("web1");
    let mut door = door.lock().expect("a lock");
    let mut large = batch("file:/a", 1, 0, 1);
    if let Carried::Records { records, .. } = &mut large.what {
        records[0].bytes = vec![b'a'; 1 << 20];
    }
    let large = vec![large; 64];
    for _ in 0..16 {
        assert_eq!(door.count(&large, later()), Ok(()));
    }
    let over = door.count(&large, later());
    assert!(matches!(over, Err(ArrivalError::Away { .. })), "{over:?}");
    LATER.store(60, Ordering::SeqCst);
    assert_eq!(door.count(&large, later()), Ok(()));
}
