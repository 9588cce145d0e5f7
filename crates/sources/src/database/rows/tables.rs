//! The rows of the shop's database that are watched: where a skimmer, a planted account or a weakened setting shows, what
//! administrators did, orders and carts, and what dies by itself (`magento.md` §3.5, §3.7, §3.8, §4.6, §8.4).
//!
//! No column here holds a card number, authentication data, a password, a token or its hash, a consumer's personal data, or
//! text that may hold any of them – comments, payloads, values before and after a change (a test refuses it).
//! Tables and columns a shop doesn't have are left out.

use super::act::Act;
use super::watched::{Of, Place, Watched, administrator, busy, latest, log, whole};

/// Every watched table.
pub(crate) static WATCHED: [Watched; 45] = [
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
    whole(
        "admin_user_expiration",
        "user_id",
        &["expires_at"],
        Place::None,
    ),
    log(
        "oauth_token_request_log",
        "log_id",
        &["user_type", "failures_count", "lock_expires_at"],
    ),
    log("patch_list", "patch_id", &["patch_name"]),
    log(
        "adminnotification_inbox",
        "notification_id",
        &["severity", "date_added", "title"],
    ),
    log(
        "import_history",
        "history_id",
        &[
            "started_at",
            "user_id",
            "imported_file",
            "execution_time",
            "summary",
        ],
    )
    .of(administrator("user_id"))
    .tells("started_at", &[Act::Name("username"), Act::Id("user_id")]),
    log(
        "magento_login_as_customer_log",
        "log_id",
        &["time", "user_id", "user_name", "customer_id"],
    )
    .tells(
        "time",
        &[
            Act::Name("user_name"),
            Act::Id("user_id"),
            Act::Customer("customer_id"),
        ],
    ),
    log(
        "magento_bulk",
        "id",
        &[
            "uuid",
            "user_id",
            "user_type",
            "description",
            "operation_count",
            "start_time",
        ],
    ),
    // Commerce's admin action log.
    log(
        "magento_logging_event",
        "log_id",
        &[
            "ip",
            "x_forwarded_ip",
            "event_code",
            "time",
            "action",
            "info",
            "status",
            "user",
            "user_id",
            "fullaction",
        ],
    )
    .tells("time", COMMERCE),
    log(
        "magento_logging_event_changes",
        "id",
        &["source_name", "event_id", "source_id"],
    )
    .of(Of {
        by: "event_id",
        table: "magento_logging_event",
        key: "log_id",
        columns: &[
            "user",
            "user_id",
            "ip",
            "x_forwarded_ip",
            "action",
            "fullaction",
            "status",
            "time",
        ],
    })
    .tells("time", COMMERCE),
    // The add-on of Mage-OS.
    log(
        "admin_login_log",
        "entity_id",
        &[
            "admin_id",
            "username",
            "remote_ip",
            "forwarded_ip",
            "user_agent",
            "type",
            "status",
            "created_at",
        ],
    )
    .tells("created_at", MAGE_OS),
    log(
        "admin_activity",
        "entity_id",
        &[
            "username",
            "admin_id",
            "scope",
            "action_type",
            "remote_ip",
            "forwarded_ip",
            "user_agent",
            "module",
            "fullaction",
            "created_at",
        ],
    )
    .tells("created_at", MAGE_OS),
    log(
        "admin_activity_log",
        "entity_id",
        &["activity_id", "field_name"],
    )
    .of(ACTIVITY)
    .tells("created_at", MAGE_OS),
    log(
        "admin_activity_detail",
        "entity_id",
        &["activity_id", "model_class", "item_id"],
    )
    .of(ACTIVITY)
    .tells("created_at", MAGE_OS),
    latest(
        "admin_passwords",
        "password_id",
        &["user_id", "last_updated"],
    ),
    latest(
        "admin_user_session",
        "id",
        &["user_id", "status", "created_at", "updated_at", "ip"],
    )
    .of(administrator("user_id"))
    .tells(
        "",
        &[
            Act::Name("username"),
            Act::Id("user_id"),
            Act::Address("ip"),
        ],
    ),
    latest(
        "password_reset_request_event",
        "id",
        &["request_type", "account_reference", "created_at", "ip"],
    )
    .tells("", &[Act::Address("ip")]),
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
    ),
    latest(
        "quote_payment",
        "payment_id",
        &["quote_id", "created_at", "updated_at", "method"],
    ),
    // Of orders and carts what tells when, where and how one was paid, not by whom.
    busy(
        "sales_order",
        "entity_id",
        &[
            "increment_id",
            "store_id",
            "state",
            "status",
            "quote_id",
            "base_grand_total",
            "base_currency_code",
            "created_at",
            "updated_at",
        ],
        Place::StoreId("store_id"),
    ),
    busy(
        "sales_order_payment",
        "entity_id",
        &["parent_id", "method"],
        Place::None,
    ),
    busy(
        "sales_order_status_history",
        "entity_id",
        &[
            "parent_id",
            "entity_name",
            "status",
            "is_customer_notified",
            "created_at",
        ],
        Place::None,
    ),
    busy(
        "sales_order_status_change_history",
        "entity_id",
        &["order_id", "status", "created_at"],
        Place::None,
    ),
    busy(
        "magento_operation",
        "id",
        &["bulk_uuid", "topic_name", "status", "error_code"],
        Place::None,
    ),
    busy(
        "quote",
        "entity_id",
        &[
            "store_id",
            "is_active",
            "items_count",
            "created_at",
            "updated_at",
            "converted_at",
            "orig_order_id",
            "reserved_order_id",
        ],
        Place::StoreId("store_id"),
    ),
];

const COMMERCE: &[Act] = &[
    Act::Name("user"),
    Act::Id("user_id"),
    Act::Address("ip"),
    Act::Forwarded("x_forwarded_ip"),
    Act::Action("action"),
    Act::FullAction("fullaction"),
    Act::Group("event_code"),
    Act::Outcome("status"),
    Act::Entity("source_name", "source_id"),
];

const MAGE_OS: &[Act] = &[
    Act::Name("username"),
    Act::Id("admin_id"),
    Act::Address("remote_ip"),
    Act::Forwarded("forwarded_ip"),
    Act::Action("action_type"),
    Act::Action("type"),
    Act::FullAction("fullaction"),
    Act::Group("module"),
    Act::Outcome("status"),
    Act::Entity("model_class", "item_id"),
    Act::Setting("field_name"),
];

/// The act that a row of its details belongs to.
const ACTIVITY: Of = Of {
    by: "activity_id",
    table: "admin_activity",
    key: "entity_id",
    columns: &[
        "username",
        "admin_id",
        "remote_ip",
        "forwarded_ip",
        "action_type",
        "module",
        "fullaction",
        "created_at",
    ],
};

/// Tables and columns that are read, for the grants an account needs.
pub(in crate::database) fn granted() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    WATCHED.iter().map(|watched| {
        let mut columns = vec![watched.key];
        columns.extend(watched.columns);
        (watched.table, columns)
    })
}

#[cfg(test)]
mod tests {
    use super::WATCHED;

    #[test]
    fn what_is_read_of_the_row_a_row_belongs_to_is_watched_there() {
        for watched in &WATCHED {
            let Some(of) = &watched.of else { continue };
            assert!(watched.columns.contains(&of.by), "{}", watched.table);
            let other = WATCHED.iter().find(|other| other.table == of.table);
            let other = other.expect("the other table is watched");
            assert_eq!(other.key, of.key);
            for column in of.columns {
                assert!(other.columns.contains(column), "{}.{column}", of.table);
            }
        }
    }

    #[test]
    fn no_statement_reads_a_card_column_or_a_secret() {
        const NEVER: [&str; 45] = [
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
            "original_data",
            "result_",
            "old_value",
            "new_value",
            "comment",
            "remarks",
            "error_message",
            "item_name",
            "item_url",
            "remote_addr",
            "x_forwarded_for",
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
}
