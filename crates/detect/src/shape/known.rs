//! Whether Magento's own code issues a statement on tables that hold data worth stealing.
//!
//! Tables of payments: the shipped set first ([`Shapes`]), then what the select builder of an
//! extension may do by key. Others, of which Magento's statements are too many to list: by their
//! form. Follows `threats.md` §5.3: resource models write through the adapter and read through
//! `Select`, which quote every identifier and put each condition in brackets.

use model::DataClass;

use super::session::Issuer;
use super::shipped::Shapes;
use super::{Predicate, RowClass, Shape, StatementClass, data_class, is_payment_table};

/// Whether a statement is one Magento issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is.
    Known,
    /// Magento's tools or an extension may issue it, or it gives nothing worth stealing.
    Explained,
    /// It touches nothing that is listed.
    NotJudged,
    /// Not known.
    Unknown,
}

impl Known {
    /// The value of `db.shape_known`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known => "known",
            Self::Explained => "explained",
            Self::NotJudged => "not_judged",
            Self::Unknown => "unknown",
        }
    }
}

/// What a statement was judged to be, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Whether Magento issues it.
    pub known: Known,
    /// Why, for people.
    pub why: &'a str,
}

const fn verdict(known: Known, why: &str) -> Verdict<'_> {
    Verdict { known, why }
}

/// Traits that no statement of Magento's on these tables has, each with what is said of it.
const TELLING: [(&str, &str); 13] = [
    ("union", "a UNION appended"),
    ("tautology", "a condition that is always true"),
    ("into_outfile", "written to a file"),
    ("into_dumpfile", "written to a file"),
    ("no_cache_hint", "a dump tool's hint"),
    ("sleep", "sleeps"),
    ("benchmark", "runs a benchmark"),
    ("xpath_error", "tells by an XPath error"),
    ("load_file", "reads a file"),
    ("substring_probe", "probes character by character"),
    ("executable_comment", "an executable comment"),
    ("information_schema", "reads the schema beside data"),
    (
        "hidden_table",
        "reads a table its text does not name (a view)",
    ),
];
/// Parts of names of personal columns and secrets, which a report has no need of.
const TELLING_NAMES: [&str; 10] = [
    "name", "email", "phone", "street", "address", "password", "token", "hash", "secret", "_ip",
];
/// Credentials whose whole table the shop never reads.
const SECRETS: [&str; 5] = [
    "admin_user",
    "admin_passwords",
    "oauth_token",
    "oauth_consumer",
    "tfa_user_config",
];

impl Shapes {
    /// Judges a statement by its shape and who issued it.
    #[must_use]
    pub fn judge<'a>(
        &'a self,
        shape: &Shape,
        statement: &str,
        table_prefix: &str,
        issuer: Issuer,
    ) -> Verdict<'a> {
        let listed = shape.tables.iter().filter_map(|table| data_class(table));
        if listed.count() == 0 {
            return verdict(Known::NotJudged, "touches no table that is listed");
        }
        let telling = TELLING.iter().find(|(name, _)| shape.traits.has(name));
        if let Some((_, why)) = telling {
            return verdict(Known::Unknown, why);
        }
        if shape.class == StatementClass::Show {
            return verdict(Known::Known, "describes a table and reads no row of it");
        }
        if counts_only(shape) {
            return verdict(
                Known::Explained,
                "counts and sums that name no column of cardholder or personal data",
            );
        }
        match issuer {
            Issuer::Shop => {}
            Issuer::OtherAccount => {
                return verdict(
                    Known::Unknown,
                    "issued by an account that is not the shop's",
                );
            }
            Issuer::OtherClient => {
                return verdict(
                    Known::Unknown,
                    "issued over a connection that Magento did not open",
                );
            }
        }
        if shape.tables.iter().any(|table| is_payment_table(table)) {
            match self.find(shape, statement, table_prefix) {
                Some((known, entry)) => verdict(known, &entry.title),
                None => payment(shape),
            }
        } else {
            other(shape)
        }
    }
}

/// Whether a select gives nothing but counts, sums and what they are grouped by.
fn counts_only(shape: &Shape) -> bool {
    let harmless =
        |column: &String| column != "*" && !TELLING_NAMES.iter().any(|part| column.contains(part));
    shape.class == StatementClass::Select
        && shape.traits.has("aggregate")
        && !["card_column", "cut", "sub_select"]
            .iter()
            .any(|name| shape.traits.has(name))
        && shape.columns.iter().all(harmless)
}

/// A statement on a table of payments that is not in the shipped set.
fn payment(shape: &Shape) -> Verdict<'static> {
    let traits = shape.traits;
    let keyed = matches!(shape.predicate, Predicate::Key | Predicate::List);
    let why = match shape.class {
        _ if traits.has("cut") => "cut by the log: what is not seen may be anything",
        StatementClass::Ddl if traits.has("copies") => {
            "copies rows into another table or a view, or renames their table"
        }
        StatementClass::Ddl if trigger_copies(shape) => "a trigger that is no change log's",
        StatementClass::Ddl => {
            return verdict(
                Known::Explained,
                "a change of schema (setup:upgrade, indexers)",
            );
        }
        _ if !traits.has("backticked") => {
            "names stand without back-ticks, unlike those of Magento's adapter"
        }
        StatementClass::Insert | StatementClass::Replace if traits.has("copies") => {
            "copies rows into another table"
        }
        StatementClass::Insert | StatementClass::Replace => {
            return verdict(Known::Explained, "a save through the adapter");
        }
        StatementClass::Update | StatementClass::Delete if keyed && !traits.has("copies") => {
            return verdict(
                Known::Explained,
                "a save or delete by key through the adapter",
            );
        }
        StatementClass::Update | StatementClass::Delete => "changes more rows than a key picks",
        StatementClass::Select if keyed && shape.bracketed && !traits.has("sub_select") => {
            return verdict(
                Known::Explained,
                "a load by key through the select builder (an extension)",
            );
        }
        StatementClass::Select
            if !traits.has("card_column")
                && !traits.has("sub_select")
                && shape.columns.iter().all(|column| column != "*") =>
        {
            return verdict(
                Known::Explained,
                "named columns through the select builder, none of cardholder data",
            );
        }
        StatementClass::Select => "reads card columns of more rows than a key picks",
        _ => "no statement Magento issues on this table",
    };
    verdict(Known::Unknown, why)
}

/// Whether a trigger does anything but feed change logs (`threats.md` §5.4).
fn trigger_copies(shape: &Shape) -> bool {
    shape.traits.has("trigger")
        && (shape.tables_written.is_empty()
            || shape
                .tables_written
                .iter()
                .any(|table| !table.ends_with("_cl")))
}

/// A statement on listed tables that hold no payments.
fn other(shape: &Shape) -> Verdict<'static> {
    let traits = shape.traits;
    if shape.class == StatementClass::Ddl && !traits.has("copies") {
        return verdict(
            Known::Explained,
            "a change of schema (setup:upgrade, indexers)",
        );
    }
    if !traits.has("backticked") {
        return verdict(
            Known::Unknown,
            "names stand without back-ticks, unlike those of Magento's adapter",
        );
    }
    match shape.class {
        StatementClass::Insert | StatementClass::Replace if traits.has("copies") => verdict(
            Known::Explained,
            "rows copied through the adapter (grids, reports)",
        ),
        StatementClass::Insert
        | StatementClass::Replace
        | StatementClass::Update
        | StatementClass::Delete => verdict(Known::Known, "a resource model's save or delete"),
        StatementClass::Select => select(shape),
        _ => verdict(Known::Unknown, "no statement Magento issues on this table"),
    }
}

fn select(shape: &Shape) -> Verdict<'static> {
    let secrets = shape.tables.iter().any(|table| {
        data_class(table) == Some(DataClass::Credential) && SECRETS.contains(&table.as_str())
    });
    match shape.predicate {
        Predicate::Key => verdict(Known::Known, "a load by key"),
        Predicate::List | Predicate::Other if shape.bracketed => {
            verdict(Known::Known, "a search by Magento's select builder")
        }
        _ if shape.row_class == RowClass::One => verdict(Known::Known, "a load of one row"),
        _ if shape.row_class == RowClass::Page => {
            verdict(Known::Known, "a page of a grid or collection")
        }
        _ if secrets => verdict(Known::Unknown, "a whole table of credentials"),
        // A whole table through the select builder: setup, indexers and exports of counts do so.
        _ => verdict(
            Known::Explained,
            "a whole table through the select builder (indexers, statistics)",
        ),
    }
}
