//! Gives database events their shape; shapes seen before are cheap.

use std::borrow::Cow;
use std::collections::HashMap;

use model::{Event, Field, Value};

use super::{Known, Shape, StatementClass, judge};

/// Statements remembered by their exact text.
const CACHE_MAX: usize = 16_384;
/// Longest text remembered, in bytes.
const CACHED_BYTES_MAX: usize = 4096;

/// Enriches database events.
pub struct Shaper {
    prefix: String,
    // Looked up only, never iterated: the order can't reach output.
    cache: HashMap<String, (Shape, Known)>,
}

impl Shaper {
    /// Strips `table_prefix` from tables.
    #[must_use]
    pub fn new(table_prefix: String) -> Self {
        Self {
            prefix: table_prefix,
            cache: HashMap::new(),
        }
    }

    /// Adds class, tables, columns, predicate, rows expected, fingerprint, traits and whether Magento issues it.
    pub fn enrich(&mut self, event: &mut Event<'_>) {
        let Some(Value::Text(statement)) = event.get(Field::Statement) else {
            return;
        };
        if statement.is_empty() {
            return;
        }
        let cut = event.int(Field::StatementCut) == Some(1);
        let told = event
            .list(Field::Tables)
            .iter()
            .map(|table| table.to_string())
            .collect::<Vec<_>>();
        let key = statement.as_ref();
        let (mut shape, mut known) = match self.cache.get(key) {
            Some(seen) => seen.clone(),
            None => {
                let shape = Shape::of(key, cut, &self.prefix);
                let known = judge(&shape, key);
                if key.len() <= CACHED_BYTES_MAX {
                    if self.cache.len() >= CACHE_MAX {
                        self.cache.clear();
                    }
                    self.cache.insert(key.to_owned(), (shape.clone(), known));
                }
                (shape, known)
            }
        };
        // TABLE records tell what a cut text lost, and what a view hides.
        let new = told
            .iter()
            .filter(|table| !shape.tables.contains(table))
            .cloned()
            .collect::<Vec<_>>();
        if !new.is_empty() {
            if cut {
                shape.tables.extend(new);
                known = judge(&shape, statement);
                if known == Known::Unknown
                    && shape.class == StatementClass::Select
                    && !shape.traits.has("no_cache_hint")
                    && shape.traits.has("backticked")
                {
                    // Its condition may lie behind the cut.
                    known = Known::Explained("cut at the log's limit; its condition is not seen");
                }
            } else {
                shape.tables.extend(new);
            }
        }
        put(event, &shape, known);
    }
}

fn put(event: &mut Event<'_>, shape: &Shape, known: Known) {
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    let list =
        |names: &[String]| Value::List(names.iter().map(|name| Cow::Owned(name.clone())).collect());
    event.set(Field::StatementClass, text(shape.class.name()));
    event.set(Field::PredicateClass, text(shape.predicate.name()));
    event.set(Field::RowClass, text(shape.row_class.name()));
    event.set(Field::ShapeKnown, text(known.name()));
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
