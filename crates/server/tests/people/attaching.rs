//! Files on an incident: by a form without scripts and by the API, whoever sends them and whatever they are called.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use engine::decider::Decider;
use engine::ledger::Ledger;
use engine::people::People;
use engine::sealed::Decided;
use engine::watching::Watching;
use model::{Grant, Role, Scope, Sequence, StoreMap};
use scraper::{Html, Selector};
use server::{Access, Console};

use super::{Answer, Browser, Stage, now};
use crate::hostile::HOSTILE;
use crate::house::House;

/// Bytes of the largest file that this console takes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A console for people before a pipeline that seals what they do.
pub(super) struct Sealing {
    pub(super) stage: Stage,
    /// The incident there is.
    pub(super) id: String,
    pub(super) folder: PathBuf,
    /// Where what people and hosts say enters.
    pub(super) decider: Decider,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Opens one; what it seals, it seals on a thread of its own.
pub(super) fn sealing() -> Sealing {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, (tell, told)) = (Arc::clone(&stop), mpsc::channel());
    let thread = std::thread::spawn(move || {
        let mut house = House::open(&path);
        let id = house.dump(10..11).remove(0);
        let database = house.pipeline.database().clone();
        let desk = house.desk.clone();
        let acts = |console: Console| {
            console
                .deciding(house.decider.clone(), house.trail.clone())
                .reading(Arc::clone(&house.shelf))
                .advised(house.counsel.clone())
                .watching(Watching::new(house.pipeline.looks()))
                .taking_up_to(FILE_BYTES_MAX)
        };
        let people = People::open(&database, &path.join("keys"), Box::new(|_| {})).expect("opened");
        let access = Access::People {
            people: people.clone(),
            now,
        };
        let console = acts(Console::new(desk.clone(), access, StoreMap::default()));
        let decider = house.decider.clone();
        tell.send((id, desk, people, console, decider))
            .expect("heard");
        while !stopped.load(Ordering::SeqCst) {
            let before = house.pipeline.ledger().len();
            house
                .pipeline
                .take_outbox(crate::opened::NOW)
                .expect("taken");
            // As it does each second: what was sealed is no longer read again as waiting.
            if house.pipeline.ledger().len() > before {
                house
                    .pipeline
                    .checkpoint(crate::opened::NOW)
                    .expect("signed");
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        house
            .pipeline
            .checkpoint(crate::opened::NOW)
            .expect("signed");
    });
    let (id, desk, people, console, decider) = told.recv().expect("opened");
    Sealing {
        id,
        decider,
        folder: folder.path().to_owned(),
        stop,
        thread: Some(thread),
        stage: Stage {
            router: server::router(console),
            desk,
            people,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            _folder: folder,
        },
    }
}

/// A form with a file as a browser sends it.
fn form(about: &str, name: &str, content: &[u8]) -> Vec<u8> {
    let name = name
        .replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    let head = format!(
        "--b0undary\r\nContent-Disposition: form-data; name=\"about\"\r\n\r\n{about}\r\n--b0undary\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: text/plain\r\n\r\n"
    );
    [head.as_bytes(), content, b"\r\n--b0undary--\r\n"].concat()
}

impl Sealing {
    pub(super) fn page(&self, browser: &Browser) -> Answer {
        self.stage.get(browser, &format!("/incidents/{}", self.id))
    }

    fn send(&self, browser: &Browser, to: &str, body: Body) -> Answer {
        let request = Request::post(to)
            .header("host", "127.0.0.1:8780")
            .header("content-type", "multipart/form-data; boundary=b0undary")
            .header("origin", "http://127.0.0.1:8780")
            .header("cookie", &browser.cookie);
        self.stage.send(request.body(body).expect("a request"))
    }

    /// Sends the page's own form.
    fn attach(&self, browser: &Browser, name: &str, content: &[u8]) -> Answer {
        let action = self.page(browser).of("#attachments form", "action");
        self.send(browser, &action, form("what it is", name, content).into())
    }

    pub(super) fn token(&self, browser: &Browser, role: &str) -> String {
        self.token_at(browser, "siem", role, "")
    }

    pub(super) fn token_at(
        &self,
        browser: &Browser,
        name: &str,
        role: &str,
        place: &str,
    ) -> String {
        let fields = [
            ("name", name),
            ("role", role),
            ("place", place),
            ("days", "30"),
        ];
        let page = self.stage.post(browser, "/account/tokens", &fields);
        format!("Bearer {}", page.of("pre.secret", ""))
    }

    pub(super) fn post(
        &self,
        bearer: &str,
        path: &str,
        key: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::post(path)
            .header("host", "127.0.0.1:8780")
            .header("authorization", bearer)
            .header("idempotency-key", key);
        self.stage
            .send(request.body(body.into()).expect("a request"))
    }

    /// Whether something is sealed within two seconds: what nobody waits for comes by itself.
    pub(super) fn comes(&self, is: impl Fn(&Decided) -> bool) -> bool {
        let pause = || tokio::time::sleep(std::time::Duration::from_millis(10));
        (0..200).any(|_| {
            let found = self.sealed().iter().any(&is);
            if !found {
                self.stage.runtime.block_on(async { pause().await });
            }
            found
        })
    }

    /// Everything that is sealed, once nothing waits.
    pub(super) fn sealed(&self) -> Vec<Decided> {
        let (folder, keys) = (self.folder.join("ledger"), self.folder.join("keys"));
        let ledger = Ledger::open_read(&folder, &keys, &parse::Context::default());
        let ledger = ledger.expect("opened");
        (0..ledger.len())
            .filter_map(|number| ledger.read(Sequence(number)).expect("read").payload)
            .filter_map(|payload| serde_json::from_slice(&payload).ok())
            .collect()
    }
}

#[test]
fn a_file_is_attached_by_a_form_and_given_out_as_bytes_and_who_reads_it_is_sealed() {
    let sealing = sealing();
    sealing.stage.first();
    let ana = sealing.stage.invited("ana", Grant::all(Role::Analyst));
    let content = b"name;card\r\nAna;4111111111111111\r\n";
    let done = sealing.attach(&ana, "list of cards.csv", content);
    let back = format!("/incidents/{}#attachments", sealing.id);
    assert_eq!(
        (done.status, done.header("location")),
        (StatusCode::SEE_OTHER, back.as_str())
    );
    let page = sealing.page(&ana);
    let shown = page.of("#attachments li", "");
    for told in [
        "list of cards.csv",
        "33 bytes",
        "1 place masked",
        "what it is",
        "hmac-sha256",
        "ana",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    assert!(
        page.of("#record td:nth-child(3)", "")
            .contains("attached “list of cards.csv”")
    );
    let link = page.of("#attachments li a", "href");
    let file = sealing.stage.get(&ana, &link);
    assert_eq!(
        (file.status, file.body.as_str()),
        (StatusCode::OK, "name;card\r\nAna;************1111\r\n")
    );
    for (header, value) in [
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
        (
            "content-disposition",
            "attachment; filename=\"list_of_cards.csv\"; filename*=UTF-8''list%20of%20cards.csv",
        ),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(file.header(header), value);
    }
    // Who works for a store helps, and sees no sealed record; who only looks has no form.
    let sam = sealing.stage.invited("sam", Grant::all(Role::StoreAdmin));
    assert_eq!(
        sealing.attach(&sam, "mine.txt", b"x").status,
        StatusCode::SEE_OTHER
    );
    let page = sealing.page(&sam);
    assert!(page.of("#attachments li", "").contains("list of cards.csv"));
    assert!(
        !page.body.contains(&link),
        "no link to what they may not see"
    );
    assert_eq!(sealing.stage.get(&sam, &link).status, StatusCode::FORBIDDEN);
    let vera = sealing.stage.invited("vera", Grant::all(Role::Viewer));
    let page = Html::parse_document(&sealing.page(&vera).body);
    let forms = Selector::parse("#attachments form").expect("a selector");
    assert_eq!(page.select(&forms).count(), 0);
    // For who works elsewhere none of it is there.
    let scope = Scope::View("us_en".to_owned());
    let uma = sealing.stage.invited(
        "uma",
        Grant {
            role: Role::Analyst,
            scope,
        },
    );
    let to = format!("/incidents/{}/attachments?csrf={}", sealing.id, uma.csrf);
    let sent = sealing.send(&uma, &to, form("x", "y", b"z").into());
    assert_eq!(sent.status, StatusCode::NOT_FOUND);
    for path in [
        link.clone(),
        format!("/api/v1{link}"),
        format!("/api/v1/incidents/{}/attachments", sealing.id),
    ] {
        assert_eq!(
            sealing.stage.get(&uma, &path).status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    // The reading is noted without anyone's waiting for it.
    let handling = sealing.stage.desk.handling(&sealing.id);
    let entries = handling.taken[0].attachment().expect("one").1;
    let is_told = |one: &Decided| matches!(one, Decided::Read { read, .. } if read.by.name == "ana" && read.entries.contains(&entries.start));
    assert!(sealing.comes(is_told), "the reading isn't sealed");
}

#[test]
fn what_is_too_large_empty_cut_off_or_of_another_page_is_not_attached_and_says_why() {
    let sealing = sealing();
    sealing.stage.first();
    let ana = sealing.stage.invited("ana", Grant::all(Role::Analyst));
    let token = sealing.token(&ana, "analyst");
    let api = format!(
        "/api/v1/incidents/{}/attachments?name=a.bin&about=b",
        sealing.id
    );
    let large = vec![b'x'; FILE_BYTES_MAX + 1];
    let refused = |answer: Answer, status, why: &str| {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(why), "{why}: {}", answer.body);
    };
    let page = sealing.attach(&ana, "large", &large);
    refused(
        page,
        StatusCode::PAYLOAD_TOO_LARGE,
        "the file is larger than 1 MiB: attach the part that is needed",
    );
    let page = sealing.attach(&ana, "huge", &large.repeat(3));
    refused(
        page,
        StatusCode::PAYLOAD_TOO_LARGE,
        "the file is larger than 1 MiB",
    );
    let answer = sealing.post(&token, &api, "1", large);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    refused(answer, StatusCode::PAYLOAD_TOO_LARGE, "larger than 1 MiB");
    let page = sealing.attach(&ana, "empty", b"");
    assert_eq!(
        page.of("#attachments input[name=about]", "value"),
        "what it is"
    );
    refused(page, StatusCode::UNPROCESSABLE_ENTITY, "the file is empty");
    refused(
        sealing.attach(&ana, "", b"x"),
        StatusCode::BAD_REQUEST,
        "the form names none",
    );
    let hidden = [b"\0\x01".as_slice(), b"4111111111111111"].concat();
    refused(
        sealing.attach(&ana, "a.bin", &hidden),
        StatusCode::UNPROCESSABLE_ENTITY,
        "where it can&#39;t be masked",
    );
    refused(
        sealing.post(&token, &api, "2", hidden),
        StatusCode::UNPROCESSABLE_ENTITY,
        "take it out, or attach the part",
    );
    refused(
        sealing.post(&token, &api.replace("about=b", "x=b"), "3", "x"),
        StatusCode::BAD_REQUEST,
        "?name=mail.txt",
    );
    refused(
        sealing.post(&token, &api.replace("about=b", "about="), "4", "x"),
        StatusCode::CONFLICT,
        "say in a line what the file is",
    );
    // Cut off half-way: by whoever sends, and by a form that has no end.
    let cut = || {
        let parts: [Result<Bytes, std::io::Error>; 2] = [
            Ok(Bytes::from_static(b"the first half")),
            Err(std::io::ErrorKind::ConnectionReset.into()),
        ];
        Body::from_stream(tokio_stream::iter(parts))
    };
    refused(
        sealing.post(&token, &api, "5", cut()),
        StatusCode::BAD_REQUEST,
        "it ended before it was whole",
    );
    let action = sealing.page(&ana).of("#attachments form", "action");
    refused(
        sealing.send(&ana, &action, cut()),
        StatusCode::BAD_REQUEST,
        "it ended before it was whole",
    );
    let whole = form("x", "y", b"z");
    let half = whole[..whole.len() - 6].to_vec();
    refused(
        sealing.send(&ana, &action, half.into()),
        StatusCode::BAD_REQUEST,
        "the form names none",
    );
    // A form of another session, or of none.
    let bare = format!("/incidents/{}/attachments", sealing.id);
    for to in [bare.clone(), format!("{bare}?csrf=00")] {
        assert_eq!(
            sealing.send(&ana, &to, whole.clone().into()).status,
            StatusCode::FORBIDDEN
        );
    }
    assert_eq!(sealing.stage.desk.handling(&sealing.id).version(), 0);
    assert_eq!(
        sealing.stage.get(&ana, &bare).status,
        StatusCode::OK,
        "loaded again, it is the page"
    );
}

#[test]
fn programs_attach_list_and_read_and_what_is_told_twice_counts_once() {
    let sealing = sealing();
    sealing.stage.first();
    let ana = sealing.stage.invited("ana", Grant::all(Role::Analyst));
    let token = sealing.token(&ana, "analyst");
    let path = format!("/api/v1/incidents/{}/attachments", sealing.id);
    let to = format!("{path}?name=..%2Fmail.txt&about=the+acquirer%27s+mail");
    let first = sealing.post(&token, &to, "one", "hello");
    let again = sealing.post(&token, &to, "one", "hello");
    assert_eq!((first.status, &first.body), (StatusCode::OK, &again.body));
    let other = sealing.post(&token, &to, "one", "another");
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    let get = |path: &str| sealing.stage.get_with(path, &[("authorization", &token)]);
    let list: serde_json::Value = serde_json::from_str(&get(&path).body).expect("JSON");
    let items = list["items"].as_array().expect("a list");
    assert_eq!(items.len(), 1, "{list}");
    let (item, told) = (
        &items[0],
        serde_json::from_str::<serde_json::Value>(&first.body).expect("JSON"),
    );
    assert_eq!(
        (&item["entry"], &item["name"], &item["about"]),
        (
            &told["entry"],
            &"mail.txt".into(),
            &"the acquirer's mail".into()
        )
    );
    assert_eq!(item["hash"], item["kept_hash"]);
    let file = get(&format!("{path}/{}", item["entry"]));
    assert_eq!((file.status, file.body.as_str()), (StatusCode::OK, "hello"));
    for wrong in ["0", "x", "18446744073709551616"] {
        let answer = get(&format!("{path}/{wrong}"));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (StatusCode::NOT_FOUND, "application/problem+json")
        );
    }
    // Telling of a file that wasn't handed over attaches none.
    let act = r#"{"act":"attach","seen":1,"name":"a","about":"b","size_bytes":1,"masked":0,"hash":"","hash_kind":"","kept_hash":"","entries":1}"#;
    let to = format!("/api/v1/incidents/{}/decisions", sealing.id);
    let answer = sealing.post(&token, &to, "two", act);
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.body);
    assert_eq!(sealing.stage.desk.handling(&sealing.id).version(), 1);
}

#[test]
fn no_name_does_anything_to_a_page_or_a_download() {
    let sealing = sealing();
    sealing.stage.first();
    let ana = sealing.stage.invited("ana", Grant::all(Role::Analyst));
    let long = "x".repeat(10_000);
    for name in HOSTILE
        .iter()
        .chain(&["..", "/", "\u{202e}fdp.exe", "CON", long.as_str()])
    {
        let done = sealing.attach(&ana, name, b"x");
        assert_eq!(
            done.status,
            StatusCode::SEE_OTHER,
            "{name:?}: {}",
            done.body
        );
    }
    let page = sealing.page(&ana);
    let document = Html::parse_document(&page.body);
    let count = |selector: &str| {
        let selector = Selector::parse(selector).expect("a selector");
        document.select(&selector).count()
    };
    let files = HOSTILE.len() + 5;
    assert_eq!(count("#attachments li"), files);
    assert_eq!(count("#attachments li a[download]"), files);
    assert_eq!(
        (count("script"), count("img, iframe, object, embed, base")),
        (1, 0)
    );
    for (taken, file, _) in sealing.stage.desk.handling(&sealing.id).attachments() {
        let name = &file.name;
        assert!(!name.is_empty() && name.len() <= 200, "{name:?}");
        assert!(
            !name.contains(['/', '\\', '\r', '\n', '\0', '\u{202e}', '\u{2066}']),
            "{name:?}"
        );
        let path = format!("/incidents/{}/attachments/{}", sealing.id, taken.sequence.0);
        let answer = sealing.stage.get(&ana, &path);
        let header = answer.header("content-disposition");
        assert!(
            header.starts_with("attachment; filename=\"") && header.is_ascii(),
            "{name:?}: {header}"
        );
        assert_eq!(header.matches('"').count(), 2, "{header}");
        assert_eq!(answer.header("set-cookie"), "");
    }
}
