//! Readers of what strangers write, as the fuzzer reaches them: any bytes in, what was read out as plain values.
//!
//! Apart, so that the readers themselves stay private; nobody else calls this.

use crate::{csp_reports, inventory, payment_page};

/// The parts of a page by kind and name, and the addresses of its scripts.
#[must_use]
pub fn page(html: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
    payment_page::parts(html)
}

/// A script without its values, and the hosts it names.
#[must_use]
pub fn script(text: &str) -> (String, Vec<String>) {
    payment_page::code_and_hosts(text)
}

/// The reports of a body: page, directive, what was blocked, sample.
#[must_use]
pub fn reports(body: &[u8]) -> Vec<[String; 4]> {
    csp_reports::read(body)
}

/// Calls `see` at every element and text of a module's XML, with the names of the elements open there; false where it
/// isn't read to its end.
pub fn xml(bytes: &[u8], see: &mut dyn FnMut(&[&str], Option<&str>)) -> bool {
    inventory::read_xml(bytes, see)
}
