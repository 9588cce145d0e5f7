//! The one cookie: a session's token, for this host alone, unseen by scripts and by other sites.

use axum::http::{HeaderMap, HeaderValue, header};

/// A request's session, and how one is set.
#[derive(Clone)]
pub(crate) struct Cookies {
    /// The token a browser sent; empty when none.
    pub(crate) session: String,
    is_secure: bool,
}

impl Cookies {
    pub(crate) fn new(headers: &HeaderMap, is_secure: bool) -> Self {
        let name = name(is_secure);
        let all = headers.get_all(header::COOKIE).into_iter();
        let session = all
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(of, _)| *of == name)
            .map(|(_, value)| value.to_owned());
        Self {
            session: session.unwrap_or_default(),
            is_secure,
        }
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
