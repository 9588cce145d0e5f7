//! Statement shapes: what a statement does, with its literals folded away.
//!
//! Shapes, not strings: a missing WHERE, a UNION, a dump tool's hints are properties of the shape
//! (`threats.md` §5). Never fails: what can't be understood is class `other`.

mod analyse;
mod condition;
mod keyword;
mod known;
mod lexer;
mod session;
mod shaper;
mod shipped;
mod tables;
mod walk;
mod words;

pub use analyse::Shape;
pub use known::{Known, Verdict};
pub use session::Issuer;
pub use shaper::Shaper;
pub use shipped::{Entry, Examples, ShapeError, Shapes};
pub use tables::{data_class, is_injectable, is_payment_table, payment_table};
pub use words::{Predicate, RowClass, StatementClass, Traits};

#[cfg(test)]
mod evasion_tests;
#[cfg(test)]
mod tests;
