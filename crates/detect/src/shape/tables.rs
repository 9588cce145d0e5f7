//! What Magento's tables can hold (`magento.md` §3 and §8.4), without the shop's prefix.

use model::DataClass;

/// Tables of payments.
const PAYMENT: [&str; 10] = [
    "sales_order_payment",
    "quote_payment",
    "vault_payment_token",
    "vault_payment_token_order_payment_link",
    "sales_payment_transaction",
    "paypal_billing_agreement",
    "paypal_billing_agreement_order",
    "paypal_payment_transaction",
    "magento_customerbalance",
    "sales_order_payment_archive",
];
/// Tables of credentials.
const CREDENTIAL: [&str; 10] = [
    "admin_user",
    "admin_passwords",
    "admin_user_session",
    "oauth_token",
    "oauth_consumer",
    "integration",
    "authorization_role",
    "persistent_session",
    "oauth_token_request_log",
    "tfa_user_config",
];
/// Tables of personal data.
const PERSONAL: [&str; 16] = [
    "customer_entity",
    "customer_address_entity",
    "customer_grid_flat",
    "sales_order",
    "sales_order_address",
    "sales_order_grid",
    "quote",
    "quote_address",
    "newsletter_subscriber",
    "sales_invoice_grid",
    "sales_shipment_grid",
    "sales_creditmemo_grid",
    "customer_entity_varchar",
    "customer_address_entity_varchar",
    "customer_log",
    "email_contact",
];
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

/// What a table can hold; `None` for tables that hold nothing worth stealing.
#[must_use]
pub fn data_class(table: &str) -> Option<DataClass> {
    if is_payment_table(table) {
        Some(if table.starts_with("vault") {
            DataClass::Token
        } else {
            DataClass::PanTruncated
        })
    } else if CREDENTIAL.contains(&table) {
        Some(DataClass::Credential)
    } else if PERSONAL.contains(&table) {
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

/// Whether a table's content reaches a shopper's browser.
#[must_use]
pub fn is_injectable(table: &str) -> bool {
    INJECTABLE.contains(&table)
}

/// Tells the table prefix from names: what stands before `sales_order_payment` or `core_config_data`.
pub fn infer_table_prefix<'a>(tables: impl Iterator<Item = &'a str>) -> Option<String> {
    for table in tables {
        for known in ["sales_order_payment", "core_config_data", "customer_entity"] {
            if let Some(prefix) = table
                .strip_suffix(known)
                .filter(|prefix| !prefix.is_empty())
            {
                return Some(prefix.to_owned());
            }
        }
    }
    None
}
