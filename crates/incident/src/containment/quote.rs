//! Names from logs as statements may hold them: only such as can't break out of any quoting.
//!
//! Apart because it is the one place that decides what is printed for people to paste. Invariant: what it gives holds ASCII
//! letters, digits and the few signs named with each, never a quote, a blank, a backslash or a sign a shell or a server reads.

use std::net::IpAddr;

/// Longest name of an account (MariaDB 11: 128; MySQL 8: 32) and of an administrator (`admin_user.username`: 40).
const ACCOUNT_MAX: usize = 128;
/// Longest name of a trigger, table or routine, in both servers.
const NAME_MAX: usize = 64;
/// Longest path of a setting (`core_config_data.path`).
const SETTING_MAX: usize = 255;
/// Longest path of a file or a route that is printed.
const PATH_MAX: usize = 1024;

/// A name of letters, digits and some signs, as it is.
fn of<'a>(name: &'a str, signs: &str, most: usize) -> Option<&'a str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || signs.contains(c);
    let begins = name
        .chars()
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric() || first == '_' || first == '/');
    (begins && name.len() <= most && name.chars().all(fits)).then_some(name)
}

/// A database account's user name.
pub(super) fn account(name: &str) -> Option<&str> {
    of(name, "_.-", ACCOUNT_MAX)
}

/// An administrator's user name.
pub(super) fn administrator(name: &str) -> Option<&str> {
    of(name, "_.-@+", ACCOUNT_MAX)
}

/// A trigger, routine or table.
pub(super) fn object(name: &str) -> Option<&str> {
    of(name, "_", NAME_MAX)
}

/// A setting's path, e.g. `design/head/includes`.
pub(super) fn setting(path: &str) -> Option<&str> {
    of(path, "_/", SETTING_MAX).filter(|path| path.matches('/').count() >= 2)
}

/// A file, below the shop's root or from the host's; never upwards.
pub(super) fn file(path: &str) -> Option<&str> {
    let is_upwards = path.split('/').any(|part| part == "..");
    of(path, "_./-+=,@:", PATH_MAX).filter(|_| !is_upwards)
}

/// The fixed beginning of a route, up to where numbers were folded; `None` for one that everything lies under.
pub(super) fn route(path: &str) -> Option<&str> {
    const WHOLE: &[&str] = &["", "/index.php", "/rest", "/rest/V1", "/soap", "/graphql"];
    let fixed = path.split(['{', '?']).next()?;
    let trimmed = fixed.trim_end_matches('/');
    let is_whole = WHOLE.iter().any(|one| one.eq_ignore_ascii_case(trimmed));
    of(fixed, "_./-", PATH_MAX).filter(|fixed| fixed.starts_with('/') && !is_whole)
}

/// A module's name, `Vendor_Name`.
pub(super) fn module(name: &str) -> Option<&str> {
    let (vendor, rest) = name.split_once('_')?;
    let is_part = |part: &str| part.starts_with(|c: char| c.is_ascii_uppercase());
    of(name, "_", NAME_MAX).filter(|_| is_part(vendor) && is_part(rest))
}

/// A Composer package's name, `vendor/name`.
pub(super) fn package(name: &str) -> Option<&str> {
    of(name, "_.-/", SETTING_MAX)
        .filter(|name| name.matches('/').count() == 1 && !name.contains(".."))
}

/// An IP address as its standard writes it.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn plain_names_stand_as_they_are() {
        assert_eq!(super::account("report_ro"), Some("report_ro"));
        assert_eq!(
            super::setting("design/head/includes"),
            Some("design/head/includes")
        );
        assert_eq!(super::file("pub/media/a.php"), Some("pub/media/a.php"));
        assert_eq!(
            super::route("/rest/V1/orders/{n}"),
            Some("/rest/V1/orders/")
        );
        assert_eq!(super::module("Acme_Feed"), Some("Acme_Feed"));
        assert_eq!(super::package("acme/feed"), Some("acme/feed"));
        assert_eq!(
            super::administrator("a.b@example.com"),
            Some("a.b@example.com")
        );
    }

    #[test]
    fn what_could_mean_something_else_is_no_name() {
        for hostile in [
            "", "a'b", "a`b", "a\"b", "a b", "a;b", "a\\b", "a\nb", "$(id)", "-rf", "a|b", "a&b",
            "é", "a#b",
        ] {
            assert_eq!(super::account(hostile), None, "{hostile:?}");
            assert_eq!(super::object(hostile), None, "{hostile:?}");
            assert_eq!(super::file(hostile), None, "{hostile:?}");
            assert_eq!(super::administrator(hostile), None, "{hostile:?}");
            assert_eq!(super::route(hostile), None, "{hostile:?}");
        }
        assert_eq!(super::file("pub/../../etc/passwd"), None);
        assert_eq!(super::address("203.0.113.66 -j ACCEPT"), None);
        assert_eq!(super::setting("admin"), None);
    }

    #[test]
    fn what_everything_lies_under_is_closed_by_no_route() {
        for whole in ["/", "/index.php", "/rest/V1/", "/rest/V1/{n}", "/graphql"] {
            assert_eq!(super::route(whole), None, "{whole}");
        }
    }
}
