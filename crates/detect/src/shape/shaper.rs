//! Gives database events their shape, and says whether Magento issues it.

use std::borrow::Cow;

use model::{Event, Field, Value};

use super::session::Sessions;
use super::walk::{Step, Walks};
use super::{Predicate, Shape, Shapes, StatementClass, Verdict, data_class, is_payment_table};

/// Enriches database events.
pub struct Shaper {
    prefix: String,
    shapes: Shapes,
    sessions: Sessions,
    walks: Walks,
}

impl Shaper {
    /// Strips `table_prefix` from tables; `shapes` is the shipped set.
    #[must_use]
    pub fn new(table_prefix: String, shapes: Shapes) -> Self {
        Self {
            prefix: table_prefix,
            shapes,
            sessions: Sessions::default(),
            walks: Walks::default(),
        }
    }

    /// Adds class, tables, columns, predicate, rows expected, fingerprint, traits and whether Magento issues it.
    ///
    /// Gives shape and verdict; `None` for events without a statement.
    pub fn enrich(&mut self, event: &mut Event<'_>) -> Option<(Shape, Verdict<'_>)> {
        self.sessions.note(event);
        let statement = match event.get(Field::Statement) {
            Some(Value::Text(statement)) if !statement.is_empty() => statement.as_ref(),
            _ => return None,
        };
        let cut = event.int(Field::StatementCut) == Some(1);
        let mut shape = Shape::of(statement, cut, &self.prefix);
        // TABLE records tell what a cut text lost, and what a view hides.
        for told in event.list(Field::Tables) {
            if !shape.tables.iter().any(|table| table == told) {
                if !cut && shape.class == StatementClass::Select && is_payment_table(told) {
                    shape.traits.add("hidden_table");
                }
                shape.tables.push(told.to_string());
            }
        }
        if self.walks(&shape, event) {
            shape.traits.add("walk");
        }
        let issuer = self.sessions.issuer(event);
        let verdict = self.shapes.judge(&shape, statement, &self.prefix, issuer);
        put(event, &shape, verdict);
        Some((shape, verdict))
    }

    /// Follows literals of reads of listed tables; gives whether this one walks.
    fn walks(&mut self, shape: &Shape, event: &Event<'_>) -> bool {
        if shape.class == StatementClass::Insert {
            let format = event.text(Field::Format).unwrap_or_default();
            for table in &shape.tables_written {
                if data_class(table).is_some() {
                    self.walks.inserted(format, table);
                }
            }
        }
        let reads = shape.class == StatementClass::Select
            && shape.tables.iter().any(|table| data_class(table).is_some());
        let (Some(literal), Some(time)) = (shape.key_literal.filter(|_| reads), event.time) else {
            return false;
        };
        self.walks.push(Step {
            account: event.text(Field::DbUser).unwrap_or_default(),
            shape: shape.fingerprint,
            tables: &shape.tables,
            literal,
            pages: shape.traits.has("limit_offset") && shape.predicate != Predicate::Key,
            time,
        })
    }
}

fn put(event: &mut Event<'_>, shape: &Shape, verdict: Verdict<'_>) {
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    let list =
        |names: &[String]| Value::List(names.iter().map(|name| Cow::Owned(name.clone())).collect());
    event.set(Field::StatementClass, text(shape.class.name()));
    event.set(Field::PredicateClass, text(shape.predicate.name()));
    event.set(Field::RowClass, text(shape.row_class.name()));
    event.set(Field::ShapeKnown, text(verdict.known.name()));
    event.set(
        Field::ShapeFingerprint,
        Value::Text(Cow::Owned(format!("{:016x}", shape.fingerprint))),
    );
    if !shape.tables.is_empty() {
        event.set(Field::Tables, list(&shape.tables));
    }
    if !shape.tables_written.is_empty() {
        event.set(Field::TablesWritten, list(&shape.tables_written));
    }
    if !shape.columns.is_empty() {
        event.set(Field::Columns, list(&shape.columns));
    }
    let traits = shape.traits.names();
    if !traits.is_empty() {
        event.set(
            Field::ShapeTraits,
            Value::List(traits.into_iter().map(Cow::Borrowed).collect()),
        );
    }
}
