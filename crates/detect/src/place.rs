//! Which website, store or view a request was for – or that nothing tells (`magento.md` §2.2).
//!
//! Never guessed: Magento takes a view from path, parameter, cookie or header, of which many access logs say only the first
//! two. Where what isn't logged could have chosen, the place is what all choices share: a website, a store, or unknown.

use model::{Event, Field, RunType, Scope, StoreMap, ViewPlace};

use crate::php;

/// The place of a web request. Without a map, its host.
#[must_use]
pub fn place(event: &Event<'_>, stores: &StoreMap) -> Scope {
    let host = event.text(Field::Host).unwrap_or_default();
    if stores.views.is_empty() && stores.hosts.is_empty() {
        return named_host(host);
    }
    let request = Request::of(event, stores, host);
    let run = request.run.as_ref();
    let known = |code: &str| stores.views.contains_key(code);
    let mut parts = request.path.split('/');
    let mut first = parts.next().unwrap_or_default();
    if first == "index.php" {
        // The front controller's own name may stand before everything.
        first = parts.next().unwrap_or_default();
    }
    let mut in_path = "";
    if stores.views.get(first).is_some_and(|view| view.is_active) {
        match stores.code_in_path {
            Some(true) => {
                in_path = first;
                first = parts.next().unwrap_or_default();
            }
            Some(false) => {}
            // It isn't known whether the first part is a code.
            None => return run.map_or(Scope::Unknown, |run| whole(run, stores)),
        }
    }
    match first {
        "rest" | "soap" => match parts.find(|part| !part.is_empty()).unwrap_or_default() {
            "all" => Scope::Installation,
            // Its code needs no active view, and no host's leave.
            code if known(code) => view(code),
            other if first == "soap" || is_service(other) => request.chosen(in_path),
            // Of a view made since the map was, or of none.
            _ => Scope::Unknown,
        },
        "graphql" => match event.text(Field::StoreHeader).map(str::trim) {
            // Not logged: any view of the installation may have been named.
            None => Scope::Unknown,
            Some("-" | "") => request.without_header(),
            Some(code) if known(code) => view(code),
            Some(_) => Scope::Unknown,
        },
        back_end if !stores.back_end.is_empty() && back_end == stores.back_end => {
            Scope::Installation
        }
        // Files are served to whoever asks, for whichever view.
        "static" | "media" | "pub" => {
            run.map_or_else(|| named_host(host), |run| whole(run, stores))
        }
        // A host nobody runs the shop at: Magento would show its default website, a proxy may have renamed it.
        _ if run.is_none() && !stores.hosts.is_empty() => named_host(host),
        _ => request.chosen(in_path),
    }
}

/// What of a request can choose a view.
struct Request<'a> {
    event: &'a Event<'a>,
    stores: &'a StoreMap,
    run: Option<(RunType, String)>,
    /// As sent, without the slashes at its start: Magento looks for codes before anything is decoded.
    path: &'a str,
    /// As sent; PHP takes it apart before it decodes.
    query: &'a str,
}

impl<'a> Request<'a> {
    fn of(event: &'a Event<'a>, stores: &'a StoreMap, host: &str) -> Self {
        let stem = event.text(Field::UriStem).unwrap_or_default();
        let query = event.text(Field::UriQuery).unwrap_or_default();
        let (path, query) = match event.text(Field::Uri) {
            Some(uri) => uri.split_once('?').unwrap_or((uri, "")),
            None => (stem, query),
        };
        Self {
            event,
            stores,
            run: run(event, stores, host),
            path: path.trim_start_matches('/'),
            query,
        }
    }

    /// The view that was chosen by path, parameter, cookie or default: the first of these that is there decides, and one
    /// that names no view its host may show gets the default.
    fn chosen(&self, in_path: &str) -> Scope {
        let Some(run) = &self.run else {
            return Scope::Unknown;
        };
        let default = || default_of(run, self.stores).map_or(Scope::Unknown, view);
        let shown = |code: &str| match self.stores.views.get(code) {
            Some(place) if place.is_active && is_allowed(place, run) => view(code),
            _ => default(),
        };
        if !in_path.is_empty() {
            return shown(in_path);
        }
        if let Some(code) = php::parameter(self.query, "___store") {
            return shown(&code);
        }
        // PHP takes parameters from a form's body, too, which no log has.
        if self.event.text(Field::Method) == Some("POST") {
            return whole(run, self.stores);
        }
        match self.event.text(Field::StoreCookie) {
            Some("-" | "") => default(),
            Some(cookie) => shown(&php::decoded(cookie)),
            None => whole(run, self.stores),
        }
    }

    /// GraphQL without its header `Store`: the cookie's view, whatever the host, else the default one of the
    /// installation's own website (`StoreProcessor`).
    fn without_header(&self) -> Scope {
        let views = &self.stores.views;
        match self.event.text(Field::StoreCookie) {
            Some("-" | "") => {
                let own = Some(self.stores.default_website.clone()).filter(|own| !own.is_empty());
                let own = own.or_else(|| {
                    one(views.values().map(|view| view.website.as_str())).map(str::to_owned)
                });
                own.and_then(|own| default_of(&(RunType::Website, own), self.stores).map(view))
                    .unwrap_or_default()
            }
            Some(cookie) => {
                let code = php::decoded(cookie);
                if views.contains_key(code.as_ref()) {
                    view(&code)
                } else {
                    Scope::Unknown
                }
            }
            None => Scope::Unknown,
        }
    }
}

/// How the request was run: as the log says, else as its host is.
fn run(event: &Event<'_>, stores: &StoreMap, host: &str) -> Option<(RunType, String)> {
    if let Some(code) = event.text(Field::RunCode).filter(|code| *code != "-") {
        let kind = match event.text(Field::RunType) {
            Some("website") => RunType::Website,
            Some("group") => RunType::Store,
            _ => RunType::View,
        };
        return Some((kind, code.to_owned()));
    }
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => &host,
    };
    let alone = || {
        // Nothing is known of hosts, and there is but one website that any could be run as.
        let websites = stores.views.values().map(|view| view.website.as_str());
        let website = one(websites).filter(|_| stores.hosts.is_empty())?;
        Some((RunType::Website, website.to_owned()))
    };
    stores.hosts.get(name).cloned().or_else(alone)
}

/// What all are, when they are one.
fn one<'a>(mut all: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

fn view(code: &str) -> Scope {
    Scope::View(code.to_owned())
}

/// Whether a host run as `run` may show a view: one run as a view shows every other (`StoreResolver`).
fn is_allowed(view: &ViewPlace, run: &(RunType, String)) -> bool {
    match run.0 {
        RunType::Website => view.website == run.1,
        RunType::Store => view.store == run.1,
        RunType::View => true,
    }
}

/// The view shown where nothing is asked for.
fn default_of<'a>(run: &(RunType, String), stores: &'a StoreMap) -> Option<&'a str> {
    if run.0 == RunType::View {
        return stores
            .views
            .get_key_value(&run.1)
            .map(|(code, _)| code.as_str());
    }
    let fitting = || {
        let active = stores.views.iter().filter(|(_, view)| view.is_active);
        active.filter(|(_, view)| is_allowed(view, run))
    };
    // Two stores of a website have a default view each: which of them is the website's isn't known.
    only(fitting().filter(|(_, view)| view.is_default))
        .or_else(|| only(fitting()))
        .map(|(code, _)| code.as_str())
}

/// What there is one of.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next();
    first.filter(|_| all.next().is_none())
}

/// What everything a host can show lies in.
fn whole(run: &(RunType, String), stores: &StoreMap) -> Scope {
    let mut fitting = stores
        .views
        .iter()
        .filter(|(_, view)| view.is_active && is_allowed(view, run));
    match (run.0, fitting.next(), fitting.next()) {
        // One view only: nothing could have been chosen.
        (_, Some((code, _)), None) => Scope::View(code.clone()),
        (RunType::Website, _, _) => Scope::Website(run.1.clone()),
        (RunType::Store, _, _) => Scope::Store(run.1.clone()),
        (RunType::View, _, _) => Scope::Unknown,
    }
}

fn named_host(host: &str) -> Scope {
    if host.is_empty() {
        Scope::Unknown
    } else {
        Scope::Host(host.to_owned())
    }
}

/// What follows `/rest/` where no view is named: `V1`, `async`, `schema`.
fn is_service(part: &str) -> bool {
    let is_version = part
        .strip_prefix('V')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    is_version || ["async", "schema", ""].contains(&part)
}

#[cfg(test)]
mod tests {
    use super::place;
    use model::{Category, Event, Field, RunType, Scope, StoreMap, ViewPlace};

    /// Two websites: `base` with `de` (default) and `fr`, `second` with `us`; `old` is closed.
    fn stores(code_in_path: Option<bool>) -> StoreMap {
        let view = |website: &str, store: &str, is_active, is_default| ViewPlace {
            website: website.to_owned(),
            store: store.to_owned(),
            is_active,
            is_default,
        };
        StoreMap {
            views: [
                ("de", view("base", "main", true, true)),
                ("fr", view("base", "main", true, false)),
                ("us", view("second", "us_store", true, true)),
                ("old", view("base", "main", false, false)),
            ]
            .into_iter()
            .map(|(code, view)| (code.to_owned(), view))
            .collect(),
            hosts: [
                ("shop.example.com", (RunType::Website, "base")),
                ("us.example.com", (RunType::Website, "second")),
                ("store.example.com", (RunType::Store, "main")),
                ("fr.example.com", (RunType::View, "fr")),
            ]
            .into_iter()
            .map(|(host, (kind, code))| (host.to_owned(), (kind, code.to_owned())))
            .collect(),
            code_in_path,
            default_website: String::new(),
            back_end: "office_x1".to_owned(),
        }
    }

    struct Request {
        host: &'static str,
        address: &'static str,
        cookie: Option<&'static str>,
        header: Option<&'static str>,
    }

    #[track_caller]
    fn check(request: &Request, code_in_path: Option<bool>, expected: &str) {
        let mut event = Event::new(Category::Webserver);
        let (path, query) = request
            .address
            .split_once('?')
            .unwrap_or((request.address, ""));
        event.put_text(Field::Host, request.host);
        event.put_text(Field::UriStem, path);
        event.put_text(Field::UriQuery, query);
        for (field, value) in [
            (Field::StoreCookie, request.cookie),
            (Field::StoreHeader, request.header),
        ] {
            if let Some(value) = value {
                event.put_text(field, value);
            }
        }
        assert_eq!(
            place(&event, &stores(code_in_path)).to_string(),
            expected,
            "{}{}",
            request.host,
            request.address
        );
    }

    fn get(host: &'static str, address: &'static str) -> Request {
        Request {
            host,
            address,
            cookie: None,
            header: None,
        }
    }

    #[test]
    fn a_page_is_of_the_view_that_something_names_else_of_what_its_host_shows() {
        check(
            &get("shop.example.com", "/a.html"),
            Some(false),
            "website base",
        );
        check(
            &get("SHOP.example.com:8080", "/a.html"),
            Some(false),
            "website base",
        );
        check(&get("us.example.com", "/a.html"), Some(false), "view us");
        check(
            &get("store.example.com", "/a.html"),
            Some(false),
            "store main",
        );
        // Run as a view, Magento shows any other that is asked for.
        check(&get("fr.example.com", "/a.html"), Some(false), "unknown");
        check(
            &get("shop.example.com", "/a.html?___store=fr"),
            Some(false),
            "view fr",
        );
        // Not of this website, not active, not there: as if nothing was asked for.
        check(
            &get("shop.example.com", "/a.html?___store=us"),
            Some(false),
            "view de",
        );
        check(
            &get("shop.example.com", "/a.html?___store=old"),
            Some(false),
            "view de",
        );
        check(
            &get("fr.example.com", "/a.html?___store=us"),
            Some(false),
            "view us",
        );
        check(
            &get("shop.example.com", "/fr/a.html"),
            Some(true),
            "view fr",
        );
        check(
            &get("shop.example.com", "/us/a.html"),
            Some(true),
            "view de",
        );
        check(
            &get("shop.example.com", "/fr/a.html"),
            Some(false),
            "website base",
        );
        check(&get("shop.example.com", "/fr/a.html"), None, "website base");
        check(
            &get("other.example.com", "/a.html"),
            Some(false),
            "host other.example.com",
        );
    }

    #[test]
    fn a_logged_cookie_decides() {
        let with = |cookie, address| Request {
            cookie: Some(cookie),
            ..get("shop.example.com", address)
        };
        check(&with("fr", "/"), Some(false), "view fr");
        check(&with("-", "/"), Some(false), "view de");
        check(&with("us", "/"), Some(false), "view de");
        check(&with("fr", "/?___store=de"), Some(false), "view de");
        // A parameter that chooses nothing still keeps the cookie from choosing.
        check(&with("fr", "/?___store=nobody"), Some(false), "view de");
        check(&with("f%72", "/"), Some(false), "view fr");
        // As PHP reads it, not as it looks.
        check(&with("-", "/?x=%26___store=fr"), Some(false), "view de");
        check(&with("-", "/?%5f__store=f%72"), Some(false), "view fr");
        check(
            &Request {
                cookie: Some("-"),
                ..get("fr.example.com", "/")
            },
            Some(false),
            "view fr",
        );
    }

    #[test]
    fn the_apis_take_views_from_path_and_header() {
        check(
            &get("shop.example.com", "/rest/us/V1/orders"),
            Some(false),
            "view us",
        );
        check(
            &get("shop.example.com", "/rest/old/V1/orders"),
            Some(false),
            "view old",
        );
        check(
            &get("shop.example.com", "/rest/all/V1/orders"),
            Some(false),
            "whole installation",
        );
        check(
            &get("shop.example.com", "/rest/V1/orders"),
            Some(false),
            "website base",
        );
        check(
            &get("us.example.com", "/index.php/rest/V1/orders"),
            Some(false),
            "view us",
        );
        check(
            &get("shop.example.com", "/rest/nobody/V1/orders"),
            Some(false),
            "unknown",
        );
        check(
            &get("other.example.com", "/rest/V1/orders"),
            Some(false),
            "unknown",
        );
        check(
            &get("shop.example.com", "/soap/fr?wsdl"),
            Some(false),
            "view fr",
        );
        let graphql = |header| Request {
            header,
            cookie: Some("-"),
            ..get("shop.example.com", "/graphql")
        };
        check(&graphql(None), Some(false), "unknown");
        check(&graphql(Some("us")), Some(false), "view us");
        // Which website is the installation's own isn't known.
        check(&graphql(Some("-")), Some(false), "unknown");
        check(&graphql(Some("nobody")), Some(false), "unknown");
    }

    #[test]
    fn back_end_and_files_are_nobodys_alone() {
        check(
            &get("shop.example.com", "/office_x1/sales/order"),
            Some(true),
            "whole installation",
        );
        check(
            &get("shop.example.com", "/media/catalog/a.jpg"),
            Some(true),
            "website base",
        );
        check(
            &get("us.example.com", "/static/a.js"),
            Some(true),
            "view us",
        );
    }

    #[test]
    fn without_a_map_it_is_the_host() {
        let mut event = Event::new(Category::Webserver);
        assert_eq!(place(&event, &StoreMap::default()), Scope::Unknown);
        event.put_text(Field::Host, "shop.example.com");
        assert_eq!(
            place(&event, &StoreMap::default()),
            Scope::Host("shop.example.com".to_owned())
        );
    }
}
