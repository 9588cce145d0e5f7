//! The console with people: who gets in, how, and what each of them sees – by requests, as a browser sends them.

mod attaching;
mod containing;
mod containing_programs;
mod counsel;
mod guarded;
mod host;
mod keeping;
mod playbooks;
mod programs;
mod roles;
mod scim;
mod sources;
mod telling;
mod views;
mod watching;
mod ways;
mod zones;

use std::cell::Cell;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use engine::desk::{Desk, Update};
use engine::people::{Act, People};
use hmac::{Hmac, KeyInit as _, Mac as _};
use model::{Grant, Principal, Scope, StoreMap, Timestamp, ViewPlace};
use scraper::{Html, Selector};
use server::{Access, Console};
use stores::{Database, StatePlace};
use tower::ServiceExt as _;

use super::{finding, incident};

const PASSWORD: &str = "a quiet river 7";

thread_local! {
    /// Each test's own clock: requests of a test run on its thread.
    static NOW: Cell<i64> = const { Cell::new(1_785_924_930) };
}

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW.get())
}

fn wait(seconds: i64) {
    NOW.set(NOW.get() + seconds);
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The session a browser would keep.
    fn cookie(&self) -> String {
        let set = self.header("set-cookie");
        set.split(';').next().unwrap_or_default().to_owned()
    }

    /// What the first element that a selector finds says of itself.
    fn of(&self, selector: &str, attribute: &str) -> String {
        let page = Html::parse_document(&self.body);
        let selector = Selector::parse(selector).expect("a selector");
        let element = page.select(&selector).next();
        assert!(element.is_some(), "no {selector:?} in {}", self.body);
        let element = element.expect("asserted");
        match attribute {
            "" => element.text().collect::<String>().trim().to_owned(),
            name => element.value().attr(name).unwrap_or_default().to_owned(),
        }
    }
}

/// A console for people.
struct Stage {
    router: Router,
    desk: Desk,
    people: People,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

/// Somebody with a browser.
#[derive(Clone, Default)]
struct Browser {
    cookie: String,
    csrf: String,
    secret: Vec<u8>,
}

fn stage() -> Stage {
    stage_named(&[])
}

fn stage_named(names: &[&str]) -> Stage {
    let folder = tempfile::tempdir().expect("a folder");
    let place = StatePlace::File(folder.path().join("state.sqlite"));
    let database = Database::open(&place).expect("opened");
    let people = People::open(&database, folder.path(), Box::new(|_| {})).expect("opened");
    let desk = Desk::new(Box::new(|_| None));
    let (mut us, mut all) = (finding("f1", "plain"), finding("f2", "plain"));
    us.scope = Scope::View("us_en".to_owned());
    all.scope = Scope::Installation;
    let incidents = [("i1", &us), ("i2", &all)].map(|(id, finding)| {
        let mut incident = incident(id, id, &[finding]);
        incident.scopes = vec![finding.scope.clone()];
        incident
    });
    desk.publish(Update::Decided {
        findings: vec![us, all],
        incidents: incidents.to_vec(),
    });
    let mut stores = StoreMap::default();
    let place = ViewPlace {
        website: "us".to_owned(),
        store: "us_main".to_owned(),
        ..ViewPlace::default()
    };
    stores.views.insert("us_en".to_owned(), place);
    let access = Access::People {
        people: people.clone(),
        now,
    };
    let console =
        Console::new(desk.clone(), access, stores).named(names.iter().map(ToString::to_string));
    Stage {
        router: server::router(console),
        desk,
        people,
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
        _folder: folder,
    }
}

/// RFC 6238, written apart from the console's own.
fn code(secret: &[u8]) -> String {
    let step = (NOW.get() / 30).to_be_bytes();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(secret).expect("any key");
    mac.update(&step);
    let digest = mac.finalize().into_bytes();
    let at = usize::from(digest[19] & 15);
    let four = digest[at..at + 4].try_into().expect("four bytes");
    let number = u32::from_be_bytes(four) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

fn decoded(text: &str) -> Vec<u8> {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: String = text
        .chars()
        .map(|letter| format!("{:05b}", letters.find(letter).expect("base32")))
        .collect();
    let bytes = bits.as_bytes().chunks_exact(8);
    bytes
        .map(|byte| {
            let byte = std::str::from_utf8(byte).expect("digits");
            u8::from_str_radix(byte, 2).expect("eight of them")
        })
        .collect()
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        out.append_pair(name, value);
    }
    out.finish()
}

impl Stage {
    fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let answer = self
                .router
                .clone()
                .oneshot(request)
                .await
                .expect("answered");
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = to_bytes(answer.into_body(), 4 << 20).await.expect("whole");
            let body = String::from_utf8(body.to_vec()).expect("text");
            Answer {
                status,
                headers,
                body,
            }
        })
    }

    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_with("GET", path, headers, "")
    }

    fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "127.0.0.1:8780");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Body::from(body.to_owned());
        self.send(request.body(body).expect("a request"))
    }

    /// Asks the API with what says who asks, and a key where there is one.
    fn ask_api(
        &self,
        who: &[(&str, &str)],
        method: &str,
        path: &str,
        key: &str,
        body: &str,
    ) -> Answer {
        let mut headers = who.to_vec();
        if !key.is_empty() {
            headers.push(("idempotency-key", key));
        }
        self.ask_with(method, &format!("/api/v1{path}"), &headers, body)
    }

    fn get(&self, browser: &Browser, path: &str) -> Answer {
        self.get_with(path, &[("cookie", &browser.cookie)])
    }

    /// Sends a form as a browser does, with exactly these fields.
    fn post_raw(
        &self,
        browser: &Browser,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::post(path)
            .header("host", "127.0.0.1:8780")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", &browser.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request
            .body(Body::from(encoded(fields)))
            .expect("a request");
        let peer: SocketAddr = "192.0.2.7:4711".parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(peer));
        self.send(request)
    }

    /// Sends a form of the browser's own page.
    fn post(&self, browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", browser.csrf.as_str())];
        all.extend(fields);
        let own = [
            ("origin", "http://127.0.0.1:8780"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.post_raw(browser, path, &own, &all)
    }

    /// Takes an invitation by its pages.
    fn join(&self, token: &str, name: &str) -> Browser {
        let mut browser = Browser::default();
        let fields = [
            ("invitation", token),
            ("name", name),
            ("shown", name),
            ("password", PASSWORD),
        ];
        let page = self.post(&browser, "/welcome", &fields);
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        browser.secret = decoded(&page.of("code.secret", ""));
        let code = code(&browser.secret);
        let answer = self.post(
            &browser,
            "/welcome/code",
            &[("invitation", token), ("code", &code)],
        );
        assert_eq!(
            (answer.status, answer.header("location")),
            (StatusCode::SEE_OTHER, "/")
        );
        browser.cookie = answer.cookie();
        self.know(browser)
    }

    /// Reads the session's word for forms.
    fn know(&self, mut browser: Browser) -> Browser {
        let page = self.get(&browser, "/account");
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        browser.csrf = page.of("input[name=csrf]", "value");
        browser
    }

    fn first(&self) -> Browser {
        let invitation = self.people.first_invitation(now());
        let token = self.runtime.block_on(invitation).expect("asked");
        self.join(&token.expect("nobody is there"), "root.one")
    }

    fn invited(&self, name: &str, grant: Grant) -> Browser {
        let machine = Principal::machine();
        let act = Act {
            by: &machine,
            from: "",
            now: now(),
        };
        let grants = [grant];
        let invitation = self.people.invite(act, name, &grants);
        let token = self.runtime.block_on(invitation).expect("invited");
        self.join(&token, name)
    }
}
