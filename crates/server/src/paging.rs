//! Lists in order of a name, page by page, for programs.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

/// Items of a page, at most, and unless something else is asked for.
pub(crate) const ITEMS_MAX: usize = 200;
const ITEMS: usize = 50;

/// What is asked of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ListQuery {
    cursor: String,
    limit: Option<usize>,
}

/// As a request has it.
pub(crate) type Asked = Result<Query<ListQuery>, QueryRejection>;

/// After which name, and how many; what isn't known is refused, so that a misspelt word shows nothing it shouldn't.
///
/// # Errors
///
/// Why not, in words: HTTP's 400.
pub(crate) fn paged(query: Asked) -> Result<(String, usize), &'static str> {
    let known = "what may be asked is cursor and limit, each once";
    let Query(query) = query.map_err(|_| known)?;
    let limit = query.limit.unwrap_or(ITEMS);
    match (1..=ITEMS_MAX).contains(&limit) {
        true => Ok((query.cursor, limit)),
        false => Err("limit lies between 1 and 200"),
    }
}
