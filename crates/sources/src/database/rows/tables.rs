//! The rows of the shop's database that are watched: where a skimmer, a planted account or a weakened setting shows, and
//! what dies by itself (`magento.md` §3.7, §3.8, §8.4).
//!
//! No column here holds a card number, authentication data, a password, a token or its hash (a test refuses it).
//! Tables and columns a shop doesn't have are left out.

use std::time::Duration;

/// How a row tells its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It doesn't, or belongs to all.
    None,
    /// By this column's store id.
    StoreId(&'static str),
    /// `scope` and `scope_id` of `core_config_data`.
    ConfigScope,
}

/// How rows are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All of them, each compared with the last look: few rows, and any of them may change.
    Whole,
    /// Those whose key is greater than the last, and the latest ones again: many rows, or such that go soon.
    Latest,
}

/// A watched table.
#[derive(Debug)]
pub(crate) struct Watched {
    /// Its name without prefix.
    pub(crate) table: &'static str,
    /// Its key column.
    pub(crate) key: &'static str,
    /// The other columns that are read.
    pub(crate) columns: &'static [&'static str],
    pub(crate) place: Place,
    pub(crate) way: Way,
    pub(crate) every: Duration,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Often enough for what lives shortest: a finished cron row lives an hour, a customer's token too.
const TEN_MINUTES: Duration = Duration::from_secs(600);

const fn whole(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    place: Place,
) -> Watched {
    Watched {
        table,
        key,
        columns,
        place,
        way: Way::Whole,
        every: MINUTE,
    }
}

const fn latest(
    table: &'static str,
    key: &'static str,
    columns: &'static [&'static str],
    place: Place,
) -> Watched {
    Watched {
        table,
        key,
        columns,
        place,
        way: Way::Latest,
        every: TEN_MINUTES,
    }
}

/// Every watched table.
pub(crate) static WATCHED: [Watched; 26] = [
    whole(
        "core_config_data",
        "config_id",
        &["scope", "scope_id", "path", "value"],
        Place::ConfigScope,
    ),
    whole(
        "cms_page",
        "page_id",
        &[
            "identifier",
            "title",
            "is_active",
            "content",
            "layout_update_xml",
            "custom_layout_update_xml",
        ],
        Place::None,
    ),
    whole(
        "cms_block",
        "block_id",
        &["identifier", "title", "is_active", "content"],
        Place::None,
    ),
    whole(
        "layout_update",
        "layout_update_id",
        &["handle", "xml"],
        Place::None,
    ),
    whole(
        "layout_link",
        "layout_link_id",
        &["store_id", "theme_id", "layout_update_id", "is_temporary"],
        Place::StoreId("store_id"),
    ),
    whole(
        "widget_instance",
        "instance_id",
        &["instance_type", "title", "store_ids", "widget_parameters"],
        Place::None,
    ),
    whole(
        "email_template",
        "template_id",
        &[
            "template_code",
            "template_subject",
            "template_text",
            "orig_template_code",
        ],
        Place::None,
    ),
    whole(
        "variable_value",
        "value_id",
        &["variable_id", "store_id", "plain_value", "html_value"],
        Place::StoreId("store_id"),
    ),
    whole(
        "checkout_agreement",
        "agreement_id",
        &["is_active", "content", "checkbox_text"],
        Place::None,
    ),
    whole(
        "translation",
        "key_id",
        &["string", "store_id", "translate", "locale"],
        Place::StoreId("store_id"),
    ),
    whole(
        "design_change",
        "design_change_id",
        &["store_id", "design", "date_from", "date_to"],
        Place::StoreId("store_id"),
    ),
    whole(
        "theme",
        "theme_id",
        &["theme_path", "parent_id", "area", "type"],
        Place::None,
    ),
    whole(
        "admin_user",
        "user_id",
        &[
            "username",
            "is_active",
            "logdate",
            "lognum",
            "failures_num",
            "first_failure",
            "lock_expires",
            "created",
            "modified",
            "rp_token_created_at",
        ],
        Place::None,
    ),
    whole(
        "authorization_role",
        "role_id",
        &[
            "parent_id",
            "role_type",
            "user_id",
            "user_type",
            "role_name",
        ],
        Place::None,
    ),
    whole(
        "authorization_rule",
        "rule_id",
        &["role_id", "resource_id", "permission"],
        Place::None,
    ),
    whole(
        "integration",
        "integration_id",
        &[
            "name",
            "endpoint",
            "status",
            "consumer_id",
            "setup_type",
            "created_at",
            "updated_at",
        ],
        Place::None,
    ),
    whole(
        "oauth_consumer",
        "entity_id",
        &["name", "created_at", "updated_at", "callback_url"],
        Place::None,
    ),
    whole(
        "setup_module",
        "module",
        &["schema_version", "data_version"],
        Place::None,
    ),
    whole(
        "store",
        "store_id",
        &["code", "website_id", "is_active"],
        Place::StoreId("store_id"),
    ),
    whole(
        "store_website",
        "website_id",
        &["code", "is_default"],
        Place::None,
    ),
    latest(
        "admin_passwords",
        "password_id",
        &["user_id", "last_updated"],
        Place::None,
    ),
    latest(
        "admin_user_session",
        "id",
        &["user_id", "status", "created_at", "updated_at", "ip"],
        Place::None,
    ),
    latest(
        "password_reset_request_event",
        "id",
        &["request_type", "account_reference", "created_at", "ip"],
        Place::None,
    ),
    latest(
        "oauth_token",
        "entity_id",
        &[
            "type",
            "admin_id",
            "customer_id",
            "consumer_id",
            "user_type",
            "revoked",
            "created_at",
        ],
        Place::None,
    ),
    latest(
        "cron_schedule",
        "schedule_id",
        &[
            "job_code",
            "status",
            "created_at",
            "scheduled_at",
            "executed_at",
            "finished_at",
        ],
        Place::None,
    ),
    latest(
        "quote_payment",
        "payment_id",
        &["quote_id", "created_at", "updated_at", "method"],
        Place::None,
    ),
];

/// Tables and columns that are read, for the grants an account needs.
pub(in crate::database) fn granted() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    WATCHED.iter().map(|watched| {
        let mut columns = vec![watched.key];
        columns.extend(watched.columns);
        (watched.table, columns)
    })
}

/// Configuration whose value is read, as patterns of SQL's `LIKE`: what is rendered, where hosts are set, and what
/// protects. The value of any other path, which may be a secret, is never read.
pub(super) const READABLE_CONFIG: [&str; 24] = [
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
    use super::{READABLE_CONFIG, WATCHED, is_readable_config};

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
    fn no_statement_reads_a_card_column_or_a_secret() {
        const NEVER: [&str; 34] = [
            "cc_",
            "cid",
            "card",
            "additional_",
            "details",
            "gateway_token",
            "public_hash",
            "password",
            "password_hash",
            "rp_token",
            "token",
            "secret",
            "key",
            "verifier",
            "nonce",
            "encoded_",
            "session_id",
            "masked_id",
            "protect_code",
            "confirmation",
            "po_number",
            "echeck",
            "trans_id",
            "debug",
            "email",
            "firstname",
            "lastname",
            "street",
            "telephone",
            "dob",
            "taxvat",
            "content_hash",
            "session_data",
            "serialized",
        ];
        for watched in &WATCHED {
            for column in watched.columns.iter().chain([&watched.key]) {
                // A time tells of a token's use and nothing of the token; a key by number nothing of a password.
                if ["rp_token_created_at", "password_id", "key_id"].contains(column) {
                    continue;
                }
                assert!(
                    NEVER.iter().all(|part| !column.contains(part)),
                    "{}.{column} may hold what must not be read",
                    watched.table
                );
            }
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
