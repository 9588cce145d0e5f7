//! The cookies: a session's token, for this host alone, unseen by scripts and by other sites; and what a browser keeps
//! while its person is away at a provider, which comes back with them from there.

use axum::http::{HeaderMap, HeaderValue, header};

/// A request's session, and how one is set.
#[derive(Clone)]
pub(crate) struct Cookies {
    /// The token a browser sent; empty when none.
    pub(crate) session: String,
    /// What the browser keeps of something that was begun; empty when nothing.
    pub(crate) begun: String,
    /// The same of a log-in that a form of another site ends; empty when nothing.
    pub(crate) away: String,
    is_secure: bool,
}

/// Seconds for which a browser keeps what was begun.
const BEGUN_SECONDS: i64 = 10 * 60;

impl Cookies {
    pub(crate) fn new(headers: &HeaderMap, is_secure: bool) -> Self {
        let find = |name: &str| {
            let all = headers.get_all(header::COOKIE).into_iter();
            let found = all
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(';'))
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(of, _)| *of == name);
            found.map_or_else(String::new, |(_, value)| value.to_owned())
        };
        Self {
            session: find(name(is_secure)),
            begun: find(&begun_name(is_secure)),
            away: find(&away_name(is_secure)),
            is_secure,
        }
    }

    /// Sets what a browser keeps of something that was begun, or takes it away when it is empty. It is sent by a link of
    /// another site, too, as the way back from a provider is one; it opens nothing by itself.
    pub(crate) fn set_begun(&self, token: &str) -> (header::HeaderName, HeaderValue) {
        let name = begun_name(self.is_secure);
        let seconds = if token.is_empty() { 0 } else { BEGUN_SECONDS };
        let mut text = format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}");
        if self.is_secure {
            text.push_str("; Secure");
        }
        let value = HeaderValue::try_from(text).expect("tokens are hexadecimal");
        (header::SET_COOKIE, value)
    }

    /// The same for a log-in that is ended by a form of the provider's page (SAML): no cookie that is kept from other sites
    /// comes with that. Other sites may so have it sent, and gain nothing: it counts with an answer to the very request
    /// that was begun with it, once. Browsers take it by TLS, and on loopback, alone.
    pub(crate) fn set_away(&self, token: &str) -> (header::HeaderName, HeaderValue) {
        let name = away_name(self.is_secure);
        let seconds = if token.is_empty() { 0 } else { BEGUN_SECONDS };
        let text =
            format!("{name}={token}; Path=/; HttpOnly; SameSite=None; Max-Age={seconds}; Secure");
        let value = HeaderValue::try_from(text).expect("tokens are hexadecimal");
        (header::SET_COOKIE, value)
    }

    /// Sets a session's token, or takes it away when it is empty.
    pub(crate) fn set(&self, token: &str) -> (header::HeaderName, HeaderValue) {
        let mut text = format!(
            "{}={token}; Path=/; HttpOnly; SameSite=Strict",
            name(self.is_secure)
        );
        if self.is_secure {
            text.push_str("; Secure");
        }
        if token.is_empty() {
            text.push_str("; Max-Age=0");
        }
        let value = HeaderValue::try_from(text).expect("tokens are hexadecimal");
        (header::SET_COOKIE, value)
    }
}

/// `__Host-` makes browsers refuse one that another host, or a page without TLS, would set.
fn name(is_secure: bool) -> &'static str {
    if is_secure {
        "__Host-magewarden"
    } else {
        "magewarden"
    }
}

fn begun_name(is_secure: bool) -> String {
    format!("{}-begun", name(is_secure))
}

fn away_name(is_secure: bool) -> String {
    format!("{}-away", name(is_secure))
}

#[cfg(test)]
mod tests {
    use super::Cookies;
    use axum::http::{HeaderMap, HeaderValue, header};

    #[track_caller]
    fn check(cookie: &'static str, is_secure: bool, expected: &str) {
        let value = HeaderValue::from_static(cookie);
        let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
        assert_eq!(Cookies::new(&headers, is_secure).session, expected);
    }

    #[test]
    fn the_session_is_found_under_its_own_name_alone() {
        check("a=1; magewarden=abc;b=2", false, "abc");
        check("magewarden=abc", true, "");
        check("__Host-magewarden=abc", true, "abc");
        check("__Host-magewarden=abc", false, "");
        check("xmagewarden=abc; =; ;magewarden", false, "");
    }

    #[test]
    fn what_was_begun_comes_back_by_another_sites_link_and_is_no_session() {
        let value = HeaderValue::from_static("__Host-magewarden-begun=cd; __Host-magewarden=ab");
        let cookies = Cookies::new(&HeaderMap::from_iter([(header::COOKIE, value)]), true);
        assert_eq!(
            (cookies.session.as_str(), cookies.begun.as_str()),
            ("ab", "cd")
        );
        assert_eq!(
            cookies.set_begun("cd").1,
            "__Host-magewarden-begun=cd; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure"
        );
        assert!(
            cookies
                .set_begun("")
                .1
                .to_str()
                .is_ok_and(|text| text.contains("Max-Age=0"))
        );
    }

    #[test]
    fn what_a_form_of_another_site_ends_comes_back_with_it_by_tls() {
        let value = HeaderValue::from_static("__Host-magewarden-away=ef; magewarden-away=no");
        let cookies = Cookies::new(&HeaderMap::from_iter([(header::COOKIE, value)]), true);
        assert_eq!((cookies.away.as_str(), cookies.begun.as_str()), ("ef", ""));
        assert_eq!(
            cookies.set_away("ef").1,
            "__Host-magewarden-away=ef; Path=/; HttpOnly; SameSite=None; Max-Age=600; Secure"
        );
    }

    #[test]
    fn a_secure_cookie_says_so() {
        let set = |is_secure, token| {
            let cookies = Cookies::new(&HeaderMap::new(), is_secure);
            let (_, value) = cookies.set(token);
            value.to_str().expect("text").to_owned()
        };
        assert_eq!(
            set(true, "ab"),
            "__Host-magewarden=ab; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            set(false, ""),
            "magewarden=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }
}
