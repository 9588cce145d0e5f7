//! Which settings of the shop's configuration are read, and which are only compared.

/// Configuration whose value is read, as patterns of SQL's `LIKE`: what is rendered, where hosts are set, and what
/// protects. The value of any other path, which may be a secret, is never read.
pub(super) const READABLE_CONFIG: [&str; 26] = [
    "design/%",
    "web/%",
    "payment/%/title",
    "payment/%/instructions",
    "payment/%/active",
    "checkout/%",
    "google/%",
    "csp/%",
    "dev/template/%",
    "dev/restrict/%",
    "dev/debug/%",
    "admin/security/%",
    "admin/url/%",
    "twofactorauth/general/%",
    "webapi/%",
    "oauth/consumer/%",
    "general/%",
    "crontab/%",
    "system/smtp/host",
    "system/smtp/port",
    "trans\\_email/%",
    "catalog/seo/%",
    "cms/%",
    "sales\\_email/%",
    // What the admin action log leaves out, and how long it is kept.
    "admin/magento\\_logging/%",
    "system/rotation/%",
];

/// Whether the value of a path of configuration may be read, where no server does the comparing.
pub(crate) fn is_readable_config(path: &str) -> bool {
    READABLE_CONFIG
        .iter()
        .any(|pattern| is_like(path.as_bytes(), pattern.as_bytes()))
}

/// SQL's `LIKE` with `%` and escaped characters.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'%', rest @ ..] => (0..=text.len())
            .any(|skipped| text.get(skipped..).is_some_and(|text| is_like(text, rest))),
        [b'\\', one, rest @ ..] | [one, rest @ ..] => text
            .split_first()
            .is_some_and(|(first, text)| first == one && is_like(text, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::{READABLE_CONFIG, is_readable_config};

    #[test]
    fn a_path_is_readable_as_the_server_compares_it() {
        for (path, expected) in [
            ("design/head/includes", true),
            ("payment/checkmo/title", true),
            ("payment/gateway/private_key", false),
            ("payment/title", false),
            ("trans_email/ident_general/name", true),
            ("transXemail/ident_general/name", false),
            ("system/smtp/host", true),
            ("system/smtp/password", false),
            ("", false),
        ] {
            assert_eq!(is_readable_config(path), expected, "{path}");
        }
    }

    #[test]
    fn no_readable_setting_is_a_secret() {
        for pattern in READABLE_CONFIG {
            for part in ["key", "secret", "token", "password", "username", "merchant"] {
                assert!(!pattern.contains(part), "{pattern}");
            }
            // Whole sections of payment methods hold their keys.
            assert!(!pattern.starts_with("payment/%/%"), "{pattern}");
        }
    }
}
