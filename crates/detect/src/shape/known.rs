//! Which statements Magento's own code issues on tables that hold data worth stealing.
//!
//! Follows `threats.md` §5.3: its resource models write through `Magento\Framework\DB\Adapter\Pdo\Mysql`
//! and read through `Select`, which quote every identifier and put each condition in brackets; payment
//! rows are read by their own or their parent's key.

use super::{Predicate, RowClass, Shape, StatementClass, data_class, is_payment_table};

/// Whether a statement is one Magento issues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is; which kind.
    Known(&'static str),
    /// Magento's tools issue it at times; which.
    Explained(&'static str),
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
            Self::Known(_) => "known",
            Self::Explained(_) => "explained",
            Self::NotJudged => "not_judged",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges a statement by its shape.
#[must_use]
pub fn judge(shape: &Shape, statement: &str) -> Known {
    if !shape.tables.iter().any(|table| data_class(table).is_some()) {
        return Known::NotJudged;
    }
    let traits = shape.traits;
    let telling = [
        "union",
        "tautology",
        "into_outfile",
        "into_dumpfile",
        "no_cache_hint",
        "sleep",
        "benchmark",
        "xpath_error",
        "load_file",
        "substring_probe",
    ];
    if telling.iter().any(|name| traits.has(name)) {
        return Known::Unknown;
    }
    let quoted = traits.has("backticked");
    match shape.class {
        StatementClass::Ddl => Known::Explained("a change of schema (setup:upgrade, indexers)"),
        StatementClass::Show => Known::Known("the adapter's DESCRIBE"),
        StatementClass::Insert
        | StatementClass::Replace
        | StatementClass::Update
        | StatementClass::Delete
            if quoted =>
        {
            Known::Known("a resource model's save or delete")
        }
        StatementClass::Select if quoted => select(shape, statement),
        _ => Known::Unknown,
    }
}

fn select(shape: &Shape, statement: &str) -> Known {
    let payment = shape.tables.iter().any(|table| is_payment_table(table));
    match shape.predicate {
        Predicate::Key => Known::Known("a load by key"),
        Predicate::List if bracketed(statement) => Known::Known("a load of a list of keys"),
        Predicate::Other if bracketed(statement) && payment => {
            Known::Explained("a search by Magento's select builder (data patches, clean-up)")
        }
        Predicate::Other if bracketed(statement) => {
            Known::Known("a search by Magento's select builder")
        }
        _ if shape.row_class == RowClass::One => Known::Known("a load of one row"),
        _ if !payment && shape.row_class == RowClass::Page => {
            Known::Known("a page of a grid or collection")
        }
        // A whole table through the select builder: setup, indexers and exports of counts do so.
        _ if !payment => {
            Known::Explained("a whole table through the select builder (indexers, statistics)")
        }
        _ if !shape.columns.iter().any(|column| column == "*")
            && shape.traits.has("backticked") =>
        {
            Known::Explained(
                "named columns of a whole payment table through the select builder (data patches)",
            )
        }
        _ => Known::Unknown,
    }
}

/// Whether conditions stand in brackets, as the select builder writes them.
fn bracketed(statement: &str) -> bool {
    let bytes = statement.as_bytes();
    memchr::memmem::find_iter(bytes, b"WHERE ").all(|at| bytes.get(at + 6) == Some(&b'('))
}
