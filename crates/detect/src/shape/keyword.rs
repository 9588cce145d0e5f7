//! The words that steer the walk over a statement's tokens.

use super::analyse::{Part, Walk};
use super::lexer::Token;
use super::words::StatementClass;

impl<'a> Walk<'a> {
    /// Takes a word that steers; gives whether it was one.
    pub(super) fn keyword(&mut self, word: &'a str) -> bool {
        let mut lower = [0; 18];
        let Some(short) = lower.get_mut(..word.len()) else {
            return false;
        };
        short.copy_from_slice(word.as_bytes());
        short.make_ascii_lowercase();
        if self.dot {
            // Behind a dot every word is a name.
            return false;
        }
        match &*short {
            b"select" => self.select(),
            b"from" => self
                .tables(self.shape.class == StatementClass::Delete && self.shape.tables.is_empty()),
            b"join" | b"straight_join" => {
                self.joins += 1;
                self.tables(false);
            }
            b"into" => {
                if self.shape.class != StatementClass::Select {
                    (self.part, self.expect_table, self.written) = (Part::Columns, true, true);
                }
            }
            b"table" => self.table(),
            b"columns" | b"fields" if self.shape.class == StatementClass::Show => {
                (self.expect_table, self.written) = (true, false);
            }
            // Under another name its rows are no longer told by their table.
            b"rename" if self.shape.class == StatementClass::Ddl => self.shape.traits.add("copies"),
            b"oj" if self.before == Some(Token::Sign(b'{')) => {}
            b"outfile" => self.shape.traits.add("into_outfile"),
            b"dumpfile" => self.shape.traits.add("into_dumpfile"),
            b"where" | b"having" => {
                (self.part, self.expect_table) = (Part::Where, false);
                self.open_region(false);
            }
            b"on" if self.part == Part::Tables => {
                (self.expect_table, self.last_name) = (false, None);
                self.open_region(true);
            }
            b"using" if self.part == Part::Tables => self.joins = self.joins.saturating_sub(1),
            b"set" if self.shape.class == StatementClass::Update => {
                (self.part, self.expect_table) = (Part::Columns, false);
            }
            b"values" | b"value"
                if matches!(
                    self.shape.class,
                    StatementClass::Insert | StatementClass::Replace
                ) =>
            {
                self.part = Part::Other;
            }
            b"group" | b"order" | b"procedure" | b"window" => self.other(),
            b"on" if self.shape.traits.has("trigger") && self.shape.tables.is_empty() => {
                (self.expect_table, self.written) = (true, false);
            }
            b"on" if self.part == Part::Where => self.other(),
            b"duplicate" if self.came_after("on") => {
                // `ON DUPLICATE KEY UPDATE` is no condition of a join.
                self.regions
                    .pop_if(|region| region.join && region.to.is_none());
                self.other();
            }
            b"limit" => {
                self.other();
                self.part = Part::Limit;
            }
            b"offset" if self.part == Part::Limit => self.shape.traits.add("limit_offset"),
            b"union" | b"except" | b"intersect" => {
                self.shape.traits.add("union");
                self.other();
            }
            b"trigger" if self.tokens.first().is_some_and(|first| first.is("create")) => {
                self.shape.traits.add("trigger")
            }
            b"sleep" => self.shape.traits.add("sleep"),
            b"benchmark" => self.shape.traits.add("benchmark"),
            b"extractvalue" | b"updatexml" => self.shape.traits.add("xpath_error"),
            b"information_schema" => self.shape.traits.add("information_schema"),
            b"load_file" => self.shape.traits.add("load_file"),
            b"char" | b"unhex" => self.shape.traits.add("char_function"),
            b"substring" | b"substr" | b"ascii" | b"mid" | b"ord" if self.part == Part::Where => {
                self.shape.traits.add("substring_probe");
            }
            b"sql_no_cache" => self.shape.traits.add("no_cache_hint"),
            b"snapshot" if self.came_after("consistent") => self.shape.traits.add("snapshot"),
            b"count" | b"sum" | b"avg" | b"min" | b"max" if self.part == Part::Columns => {
                self.shape.traits.add("aggregate");
            }
            b"inner" | b"left" | b"right" | b"cross" | b"natural"
                if self.part == Part::Tables && self.stack.len() == self.tables_depth =>
            {
                self.end_regions(self.stack.len());
            }
            b"as" | b"and" | b"or" | b"in" | b"ignore" | b"inner" | b"left" | b"right"
            | b"outer" | b"cross" | b"natural" | b"all" | b"distinct" | b"by" | b"like" | b"is"
            | b"null" | b"not" | b"low_priority" | b"delayed" | b"if" | b"exists" | b"create"
            | b"full" | b"using" | b"force" | b"index" | b"for" | b"update" | b"delete"
            | b"insert" | b"show" | b"describe" | b"desc" | b"handler" | b"open" => {}
            _ => return false,
        }
        true
    }

    /// `TABLE t`: all of a table, read without the word SELECT; elsewhere the object of a statement.
    fn table(&mut self) {
        let class = self.shape.class;
        let names = !self.shape.tables.is_empty();
        match class {
            StatementClass::Select => {
                self.tables(false);
                self.all_columns();
            }
            StatementClass::Insert | StatementClass::Replace => {
                self.shape.traits.add("copies");
                self.tables(false);
            }
            StatementClass::Ddl if names || self.came_after("as") => {
                self.shape.traits.add("copies");
                self.tables(false);
            }
            StatementClass::Ddl | StatementClass::Show => {
                (self.expect_table, self.written) = (true, class == StatementClass::Ddl);
            }
            _ => {}
        }
    }
}
