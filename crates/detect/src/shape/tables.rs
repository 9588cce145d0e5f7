//! What Magento's tables can hold (`magento.md` §3 and §8.4), without the shop's prefix.

use model::DataClass;

/// Tables of payments.
const PAYMENT: [&str; 12] = [
    "sales_order_payment",
    "sales_order_payment_archive",
    "quote_payment",
    "vault_payment_token",
    "vault_payment_token_order_payment_link",
    "sales_payment_transaction",
    "paypal_billing_agreement",
    "paypal_billing_agreement_order",
    "paypal_payment_transaction",
    "paypal_settlement_report",
    "paypal_settlement_report_row",
    "magento_customerbalance",
];
/// Tables of payments that hold tokens a gateway charges.
const TOKEN: [&str; 3] = [
    "vault_payment_token",
    "vault_payment_token_order_payment_link",
    "paypal_billing_agreement",
];
/// Tables of credentials.
const CREDENTIAL: [&str; 18] = [
    "admin_user",
    "admin_passwords",
    "admin_user_session",
    "admin_adobe_ims_webapi",
    "adobe_user_profile",
    "oauth_token",
    "oauth_consumer",
    "integration",
    "jwt_auth_revoked",
    "authorization_role",
    "authorization_rule",
    "login_as_customer",
    "persistent_session",
    "oauth_token_request_log",
    "paypal_cert",
    "quote_id_mask",
    "sales_order_confirm_cancel",
    "tfa_user_config",
];
/// Tables of personal data.
const PERSONAL: [&str; 20] = [
    "customer_entity",
    "customer_address_entity",
    "customer_grid_flat",
    "customer_visitor",
    "sales_order",
    "sales_order_address",
    "sales_order_grid",
    "sales_order_status_history",
    "quote",
    "quote_address",
    "newsletter_subscriber",
    "sales_invoice_grid",
    "sales_invoice_comment",
    "sales_shipment_grid",
    "sales_shipment_comment",
    "sales_creditmemo_grid",
    "sales_creditmemo_comment",
    "customer_log",
    "email_contact",
    "gift_message",
];
/// Families of tables of personal data: values of attributes.
const PERSONAL_FAMILIES: [&str; 2] = ["customer_entity_", "customer_address_entity_"];
/// Tables whose content reaches a shopper's browser.
const INJECTABLE: [&str; 8] = [
    "core_config_data",
    "cms_block",
    "cms_page",
    "layout_update",
    "email_template",
    "widget_instance",
    "variable_value",
    "translation",
];
/// Columns of cardholder data, tokens and what gateways answer (`threats.md` §2.0, `magento.md` §3.1–3.4).
const CARD_COLUMNS: [&str; 7] = [
    "additional_information",
    "additional_data",
    "gateway_token",
    "details",
    "public_hash",
    "reference_id",
    "po_number",
];

/// What a table can hold; `None` for tables that hold nothing worth stealing.
#[must_use]
pub fn data_class(table: &str) -> Option<DataClass> {
    if is_payment_table(table) {
        Some(if TOKEN.contains(&table) {
            DataClass::Token
        } else {
            DataClass::PanTruncated
        })
    } else if CREDENTIAL.contains(&table) {
        Some(DataClass::Credential)
    } else if PERSONAL.contains(&table)
        || PERSONAL_FAMILIES
            .iter()
            .any(|family| table.starts_with(family) && !table.ends_with("_cl"))
    {
        Some(DataClass::Personal)
    } else {
        None
    }
}

/// Whether a table holds payments.
#[must_use]
pub fn is_payment_table(table: &str) -> bool {
    PAYMENT.contains(&table)
}

/// The name of a table that holds payments, out of the list of them.
#[must_use]
pub fn payment_table(table: &str) -> Option<&'static str> {
    PAYMENT.into_iter().find(|name| *name == table)
}

/// Whether a table's content reaches a shopper's browser.
#[must_use]
pub fn is_injectable(table: &str) -> bool {
    INJECTABLE.contains(&table)
}

/// Whether a column of this name can hold cardholder data or a token, in any table.
pub(super) fn is_card_column(column: &str) -> bool {
    let starts = |word: &str| {
        column
            .as_bytes()
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    starts("cc_")
        || starts("echeck_")
        || CARD_COLUMNS
            .iter()
            .any(|name| column.eq_ignore_ascii_case(name))
}

/// Takes a shop's table prefix off a name that has it.
///
/// Most shops have none, and an empty string, which points to no memory, is slow to compare with on processors with
/// AVX-512: about a tenth of a microsecond a name.
pub(super) fn without_prefix<'a>(name: &'a str, prefix: &str) -> &'a str {
    if prefix.is_empty() {
        return name;
    }
    name.strip_prefix(prefix).unwrap_or(name)
}
