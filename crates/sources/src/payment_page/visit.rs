//! How a payment page is visited, and whether what was shown is that page.

use std::collections::BTreeMap;
use std::net::IpAddr;

use url::Url;

/// What is asked for before the page.
pub(super) struct Step {
    pub(super) url: Url,
    /// A form's fields, as they are sent.
    pub(super) form: Option<String>,
}

/// How a page is visited.
pub(super) struct Visit {
    pub(super) url: Url,
    pub(super) before: Vec<Step>,
    pub(super) addresses: BTreeMap<String, IpAddr>,
    pub(super) user_agent: String,
    /// Whether the browser keeps what a page runs in its sandbox.
    pub(super) sandbox: bool,
    /// Magento takes a form only with the key in the visitor's cookie.
    pub(super) form_key: String,
}

impl Visit {
    /// Whether what was shown is the page that was asked for.
    pub(super) fn arrived(&self, status: u16, at: &Url) -> Result<(), String> {
        if !(200..300).contains(&status) {
            return Err(format!(
                "{at} answered {status}: the payment page isn't seen"
            ));
        }
        if at.path().trim_end_matches('/') != self.url.path().trim_end_matches('/') {
            return Err(format!(
                "{} leads to {at}: an empty cart has no checkout; say with `before` what puts something into it",
                self.url
            ));
        }
        Ok(())
    }
}
