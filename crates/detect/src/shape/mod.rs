//! Statement shapes: what a statement does, with its literals folded away.
//!
//! Shapes, not strings: a missing WHERE, a UNION, a dump tool's hints are properties of the shape
//! (`threats.md` §5). Never fails: what can't be understood is class `other`.

mod analyse;
mod known;
mod lexer;
mod shaper;
mod tables;

pub use analyse::{Predicate, RowClass, Shape, StatementClass, Traits};
pub use known::{Known, judge};
pub use shaper::Shaper;
pub use tables::{data_class, infer_table_prefix, is_injectable, is_payment_table};

#[cfg(test)]
mod tests {
    use super::{Known, Predicate, RowClass, Shape, StatementClass, judge};
    use proptest::prelude::*;

    #[track_caller]
    fn check(sql: &str, tables: &[&str], predicate: Predicate, rows: RowClass, traits: &[&str]) {
        let shape = Shape::of(sql, false, "mg_");
        assert_eq!(shape.tables, tables, "{sql}");
        assert_eq!(
            (shape.predicate, shape.row_class),
            (predicate, rows),
            "{sql}"
        );
        for name in traits {
            assert!(
                shape.traits.names().contains(name),
                "no {name} in {:?} of {sql}",
                shape.traits.names()
            );
        }
    }

    #[test]
    fn tells_what_a_statement_does() {
        check(
            "SELECT * FROM mg_sales_order_payment",
            &["sales_order_payment"],
            Predicate::None,
            RowClass::All,
            &[],
        );
        check(
            "SELECT `a`.* FROM `shop`.`sales_order_payment` AS `a` WHERE (a.parent_id = '7')",
            &["sales_order_payment"],
            Predicate::Key,
            RowClass::Few,
            &["backticked"],
        );
        check(
            "SELECT * FROM x WHERE a = 1 OR 1=1",
            &["x"],
            Predicate::Tautology,
            RowClass::All,
            &["tautology"],
        );
        check(
            "select a from b union all select password from admin_user-- -",
            &["b", "admin_user"],
            Predicate::None,
            RowClass::All,
            &["union"],
        );
        check(
            "SELECT a FROM t INTO OUTFILE '/tmp/x'",
            &["t"],
            Predicate::None,
            RowClass::All,
            &["into_outfile"],
        );
        check(
            "SELECT a INTO OUTFILE '/tmp/x' FROM t",
            &["t"],
            Predicate::None,
            RowClass::All,
            &["into_outfile"],
        );
        check(
            "SELECT /*!40001 SQL_NO_CACHE */ * FROM `t`",
            &["t"],
            Predicate::None,
            RowClass::All,
            &["no_cache_hint"],
        );
        check(
            "SELECT * FROM t LIMIT 200 OFFSET 400",
            &["t"],
            Predicate::None,
            RowClass::Page,
            &["limit_offset"],
        );
        check(
            "SELECT a FROM t WHERE id IN (1,2,3)",
            &["t"],
            Predicate::List,
            RowClass::Few,
            &[],
        );
        check(
            "SELECT sleep(5)",
            &[],
            Predicate::None,
            RowClass::One,
            &["sleep"],
        );
    }

    #[test]
    fn literals_do_not_change_a_shape_and_words_do() {
        let print = |sql: &str| Shape::of(sql, false, "").fingerprint;
        assert_eq!(
            print("SELECT a FROM t WHERE id = 1"),
            print("select  a from t where id = 'x'")
        );
        assert_eq!(
            print("SELECT a FROM t WHERE id IN (1,2)"),
            print("SELECT a FROM t WHERE id IN (1, 2, 3, 4)")
        );
        assert_ne!(
            print("SELECT a FROM t WHERE id = 1"),
            print("SELECT a FROM t WHERE name = 1")
        );
    }

    #[test]
    fn writes_name_their_target() {
        let shape = Shape::of(
            "INSERT INTO `mg_core_config_data` (`path`,`value`) VALUES ('a', 'b') ON DUPLICATE KEY UPDATE value = VALUES(value)",
            false,
            "mg_",
        );
        assert_eq!(
            (shape.class, shape.tables_written.as_slice()),
            (StatementClass::Insert, &["core_config_data".to_owned()][..])
        );
        let shape = Shape::of(
            "UPDATE cms_block SET content = 'x' WHERE block_id = 1",
            false,
            "",
        );
        assert_eq!(shape.tables_written, ["cms_block"]);
    }

    #[track_caller]
    fn check_known(sql: &str, known: bool) {
        let shape = Shape::of(sql, false, "");
        assert_eq!(
            matches!(judge(&shape, sql), Known::Known(_) | Known::Explained(_)),
            known,
            "{sql}"
        );
    }

    #[test]
    fn magento_reads_payments_by_key_and_a_thief_does_not() {
        check_known(
            "SELECT `sales_order_payment`.* FROM `sales_order_payment` WHERE (`sales_order_payment`.`parent_id` = 77)",
            true,
        );
        check_known(
            "UPDATE `sales_order_payment` SET `cc_last_4` = '1' WHERE (entity_id = 5)",
            true,
        );
        check_known("SELECT * FROM sales_order_payment", false);
        check_known("SELECT * FROM sales_order_payment LIMIT 50", false);
        check_known(
            "SELECT cc_last_4 FROM sales_order_payment WHERE parent_id = 7",
            false,
        );
        check_known(
            "SELECT /*!40001 SQL_NO_CACHE */ * FROM `sales_order_payment`",
            false,
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let shape = Shape::of(&text, false, "");
            let _known = judge(&shape, &text);
        }

        #[test]
        fn no_statement_like_text_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec!["select", "from", "(", ")", "'", "`", ",", "where", "union", "1", "=", "or", "in", "limit", "offset", "/*", "*/", "--", "t", ".", "into", "outfile", "update", "set"]), 0..40)) {
            let text = words.join(" ");
            let shape = Shape::of(&text, true, "t");
            prop_assert!(shape.tables.len() <= 64);
        }
    }
}
