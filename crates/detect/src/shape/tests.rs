//! What shapes are told, and what Magento is known to issue.

use super::{Issuer, Known, Predicate, RowClass, Shape, Shapes, StatementClass, data_class};
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
fn the_servers_own_digest_is_the_shape_of_what_it_digests() {
    for (sql, digest) in [
        (
            "SELECT `sales_order_payment`.* FROM `mg_sales_order_payment` AS `sales_order_payment` WHERE (`parent_id` IN (17, 18))",
            "SELECT `sales_order_payment` . * FROM `mg_sales_order_payment` AS `sales_order_payment` WHERE ( `parent_id` IN (...) ) ",
        ),
        (
            "SELECT `q`.* FROM `mg_quote_payment` AS `q` WHERE (`quote_id` = '4') LIMIT 1",
            "SELECT `q` . * FROM `mg_quote_payment` AS `q` WHERE ( `quote_id` = ? ) LIMIT ? ",
        ),
    ] {
        let (whole, summed) = (
            Shape::of(sql, false, "mg_"),
            Shape::of(digest, false, "mg_"),
        );
        assert_eq!(
            (&whole.tables, whole.predicate, whole.row_class),
            (&summed.tables, summed.predicate, summed.row_class),
            "{digest}"
        );
        let judged = |shape: &Shape, text| shapes().judge(shape, text, "mg_", Issuer::Shop).known;
        assert_eq!(judged(&whole, sql), judged(&summed, digest), "{digest}");
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

/// The shipped set.
pub(super) fn shapes() -> Shapes {
    let text = include_str!("../../../../content/shapes/payment.toml");
    Shapes::parse([("payment.toml", text)].into_iter()).expect("the shipped shapes are read")
}

pub(super) fn judged(sql: &str) -> Known {
    shapes()
        .judge(&Shape::of(sql, false, ""), sql, "", Issuer::Shop)
        .known
}

#[track_caller]
fn check_known(sql: &str, known: bool) {
    assert_eq!(
        matches!(judged(sql), Known::Known | Known::Explained),
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
        let _known = shapes().judge(&shape, &text, "", Issuer::Shop);
    }

    #[test]
    fn no_statement_like_text_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec!["select", "from", "(", ")", "'", "`", ",", "where", "union", "1", "=", "or", "in", "limit", "offset", "/*", "*/", "--", "t", ".", "into", "outfile", "update", "set", "`sales_order_payment`", "on", "insert", "values", "/*!50000", "not", "between", "&", "|"]), 0..40)) {
        let text = words.join(" ");
        let shape = Shape::of(&text, true, "t");
        let _known = shapes().judge(&shape, &text, "t", Issuer::Shop);
        prop_assert!(shape.tables.len() <= 64);
    }
}

#[test]
fn every_shipped_shape_holds_for_its_examples_and_for_nobody_but_the_shop() {
    let shapes = shapes();
    assert!(shapes.entries().len() >= 10);
    for entry in shapes.entries() {
        let title = entry.title.as_str();
        assert!(
            !entry.source.is_empty()
                && !entry.examples.matches.is_empty()
                && !entry.examples.passes.is_empty(),
            "{}",
            entry.id
        );
        for sql in &entry.examples.matches {
            let shape = Shape::of(sql, false, "");
            assert_eq!(
                shapes.judge(&shape, sql, "", Issuer::Shop).why,
                title,
                "{sql}"
            );
            for issuer in [Issuer::OtherAccount, Issuer::OtherClient] {
                assert_eq!(
                    shapes.judge(&shape, sql, "", issuer).known,
                    Known::Unknown,
                    "{sql}"
                );
            }
        }
        for sql in &entry.examples.passes {
            let shape = Shape::of(sql, false, "");
            assert_ne!(
                shapes.judge(&shape, sql, "", Issuer::Shop).why,
                title,
                "{sql}"
            );
        }
    }
}

#[test]
fn a_shape_that_names_nothing_listed_is_refused() {
    let text = "[[shape]]\nid = 'x'\ntitle = 'x'\nsource = 'x'\nstatements = ['SELECT `a` FROM `b`']\n[shape.examples]\nmatches = []\npasses = []\n";
    let error =
        Shapes::parse([("x.toml", text)].into_iter()).expect_err("it names no listed table");
    assert!(error.to_string().contains("`x` in `x.toml`"));
    assert!(Shapes::parse([("x.toml", "shape = 1")].into_iter()).is_err());
}

#[test]
fn tables_of_the_reference_have_a_class() {
    for table in [
        "vault_payment_token",
        "quote_payment",
        "sales_payment_transaction",
        "paypal_settlement_report_row",
        "customer_entity_int",
        "login_as_customer",
        "paypal_cert",
        "sales_order_status_history",
    ] {
        assert!(data_class(table).is_some(), "{table}");
    }
    for table in [
        "catalog_product_entity",
        "customer_entity_int_cl",
        "customer_group",
    ] {
        assert!(data_class(table).is_none(), "{table}");
    }
}
