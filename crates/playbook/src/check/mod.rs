//! What the published schemas and the text of CACAO 2.0 ask of a document, in our own words.

mod shape;
mod steps;
mod tables;

use crate::document::Document;
use crate::flow::Flow;
use crate::problem::Problem;

/// Most problems told of one document.
const PROBLEMS_MAX: usize = 100;

/// All that is wrong with a document, or worth knowing, by weight and place; empty when there is nothing.
#[must_use]
pub fn check(document: &Document) -> Vec<Problem> {
    let mut out = Vec::new();
    shape::object(document.value(), &tables::PLAYBOOK, "", &mut out);
    steps::whole(document, &mut out);
    steps::each(document, &mut out);
    out.extend(document.extension_problems.iter().cloned());
    let (_, problems) = Flow::of(document);
    out.extend(problems);
    out.sort();
    out.dedup();
    out.truncate(PROBLEMS_MAX);
    out
}
