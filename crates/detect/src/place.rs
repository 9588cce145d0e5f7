//! Which website, store or view a request was for – or that nothing tells (`magento.md` §2.2).
//!
//! Never guessed: Magento takes a view from path, parameter, cookie or header, of which many access logs say only the first
//! two. Where what isn't logged could have chosen, the place is what all choices share: a website, a store, or unknown.

use model::{Event, Field, RunType, Scope, StoreMap, ViewPlace};

/// The place of a web request. Without a map, its host.
#[must_use]
pub fn place(event: &Event<'_>, stores: &StoreMap) -> Scope {
    let host = event.text(Field::Host).unwrap_or_default();
    if stores.views.is_empty() && stores.hosts.is_empty() {
        return named_host(host);
    }
    let run = run(event, stores, host);
    let path = event.text(Field::UriStem).unwrap_or_default();
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    // The front controller's own name may stand before everything.
    let first = parts.find(|part| *part != "index.php").unwrap_or_default();
    let known = |code: &str| stores.views.get_key_value(code);
    let view = |code: &str| Scope::View(code.to_owned());
    match first {
        "rest" => {
            return match parts.next() {
                Some("all") => Scope::Installation,
                // Its code needs no active view, and no host's leave.
                Some(code) if known(code).is_some() => view(code),
                Some(version) if is_version(version) => {
                    default_of(run.as_ref(), stores).map_or(Scope::Unknown, view)
                }
                _ => Scope::Unknown,
            };
        }
        "soap" => {
            return match parts.next() {
                Some(code) if known(code).is_some() => view(code),
                _ => default_of(run.as_ref(), stores).map_or(Scope::Unknown, view),
            };
        }
        "graphql" => {
            return match event.text(Field::StoreHeader) {
                // Not logged: any active view of the installation may have been named.
                None => Scope::Unknown,
                Some("-") => chosen(event, "", run.as_ref(), stores),
                Some(code) if known(code).is_some() => view(code),
                Some(_) => Scope::Unknown,
            };
        }
        back_end if !stores.back_end.is_empty() && back_end == stores.back_end => {
            return Scope::Installation;
        }
        // Files are served to whoever asks, for whichever view.
        "static" | "media" | "pub" => {
            return run
                .as_ref()
                .map_or_else(|| named_host(host), |run| whole(run, stores));
        }
        _ => {}
    }
    let in_path = match stores.code_in_path {
        Some(false) => "",
        Some(true) => first,
        // It isn't known whether the first part is a code.
        None if known(first).is_some() => {
            return run
                .as_ref()
                .map_or(Scope::Unknown, |run| whole(run, stores));
        }
        None => "",
    };
    if run.is_none() && !stores.hosts.is_empty() {
        // A host nobody runs the shop at: Magento would show its default website, a proxy may have renamed it.
        return named_host(host);
    }
    chosen(event, in_path, run.as_ref(), stores)
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
    stores.hosts.get(name).cloned()
}

/// The view that was chosen by path, parameter, cookie or default, in Magento's order.
fn chosen(
    event: &Event<'_>,
    in_path: &str,
    run: Option<&(RunType, String)>,
    stores: &StoreMap,
) -> Scope {
    let may_show = |code: &str| {
        stores
            .views
            .get(code)
            .is_some_and(|view| view.is_active && run.is_none_or(|run| is_allowed(view, run)))
    };
    let parameter = event.text(Field::UriQuery).and_then(|query| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix("___store="))
    });
    for code in [Some(in_path), parameter].into_iter().flatten() {
        if may_show(code) {
            return Scope::View(code.to_owned());
        }
    }
    match event.text(Field::StoreCookie) {
        Some(code) if code != "-" && may_show(code) => Scope::View(code.to_owned()),
        // The cookie is logged and chose nothing: the default it is.
        Some(_) => {
            default_of(run, stores).map_or(Scope::Unknown, |code| Scope::View(code.to_owned()))
        }
        None => run.map_or(Scope::Unknown, |run| whole(run, stores)),
    }
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
fn default_of<'a>(run: Option<&'a (RunType, String)>, stores: &'a StoreMap) -> Option<&'a str> {
    let run = run?;
    if run.0 == RunType::View {
        return stores.views.contains_key(&run.1).then_some(run.1.as_str());
    }
    let mut fitting = stores
        .views
        .iter()
        .filter(|(_, view)| view.is_active && is_allowed(view, run));
    let default = fitting.clone().find(|(_, view)| view.is_default);
    match (default, fitting.next(), fitting.next()) {
        (Some((code, _)), _, _) | (None, Some((code, _)), None) => Some(code.as_str()),
        _ => None,
    }
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

/// `V1`, `V2`.
fn is_version(part: &str) -> bool {
    part.strip_prefix('V')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
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
            "website base",
        );
        check(
            &get("shop.example.com", "/a.html?___store=old"),
            Some(false),
            "website base",
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
            "website base",
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
            "view de",
        );
        check(
            &get("shop.example.com", "/index.php/rest/V1/orders"),
            Some(false),
            "view de",
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
        check(&graphql(Some("-")), Some(false), "view de");
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
