//! Ways round the shapes that were tried; `docs/evasions.md` says what closes each.

use super::tests::{judged, shapes};
use super::{Known, Predicate, Shape, Shaper};
use model::{Category, Event, Field, Timestamp, Value};

/// An event of the audit plugin.
fn event(user: &str, connection: i64, statement: &str) -> Event<'static> {
    let mut event = Event::new(Category::Database);
    event.time = Some(Timestamp(0));
    event.put_text(Field::Format, "mariadb_server_audit");
    event.put_text(Field::DbUser, user.to_owned());
    event.put_int(Field::ConnectionId, connection);
    event.put_text(Field::Operation, "query");
    event.put_text(Field::Statement, statement.to_owned());
    event
}

fn operation(user: &str, connection: i64, operation: &'static str) -> Event<'static> {
    let mut event = Event::new(Category::Database);
    event.put_text(Field::Format, "mariadb_server_audit");
    event.put_text(Field::DbUser, user.to_owned());
    event.put_int(Field::ConnectionId, connection);
    event.put_text(Field::Operation, operation);
    event
}

/// Sends an event through a shaper; gives the verdict.
fn sent(shaper: &mut Shaper, mut event: Event<'_>) -> Option<Known> {
    shaper.enrich(&mut event).map(|(_, verdict)| verdict.known)
}

/// An event with what TABLE records told, perhaps cut.
fn told(statement: &str, tables: &[&str], cut: bool) -> Known {
    let mut event = event("shop", 1, statement);
    event.put(
        Field::Tables,
        Value::List(
            tables
                .iter()
                .map(|table| (*table).to_owned().into())
                .collect(),
        ),
    );
    if cut {
        event.put_int(Field::StatementCut, 1);
    }
    let mut shaper = Shaper::new(String::new(), shapes());
    sent(&mut shaper, event).expect("a statement is judged")
}

/// Each way round that was tried, as the shop's own account: the name in `docs/evasions.md`, and the statement.
const WAYS_ROUND: [(&str, &str); 61] = [
    (
        "join that ties nothing",
        "SELECT `p`.* FROM `sales_order_payment` AS `p` INNER JOIN `core_config_data` AS `c` ON c.value = p.method WHERE (c.config_id = 12)",
    ),
    (
        "join that ties nothing",
        "SELECT `p`.* FROM `sales_order_payment` AS `p` INNER JOIN `sales_order` AS `o` ON p.parent_id = o.entity_id INNER JOIN `store` AS `s` ON s.store_id = o.store_id WHERE (s.sequence_id = 1)",
    ),
    (
        "no select word",
        "WITH `x` AS (TABLE `sales_order_payment`) SELECT `x`.`a` FROM `x`",
    ),
    (
        "copy into a table",
        "INSERT INTO `cache_tag` TABLE `sales_order_payment`",
    ),
    (
        "copy into a table",
        "CREATE VIEW `x` AS TABLE `sales_order_payment`",
    ),
    ("another name", "RENAME TABLE `sales_order_payment` TO `x`"),
    (
        "another name",
        "ALTER TABLE `sales_order_payment` RENAME TO `x`",
    ),
    (
        "second table",
        "SELECT * FROM { OJ sales_order_payment AS p LEFT OUTER JOIN store AS s ON p.a = s.b }",
    ),
    (
        "quotes of another kind",
        "SELECT \"cc_last_4\" FROM \"sales_order_payment\"",
    ),
    (
        "shipped shape, widened",
        "SELECT sales_order_payment.* FROM `sales_order` LEFT JOIN `sales_order_payment` ON 1 WHERE (sales_order.entity_id IN ('7'))",
    ),
    (
        "shipped shape, widened",
        "SELECT sales_order.status, sales_order_payment.* FROM `sales_order` LEFT JOIN `sales_order_payment` ON sales_order.entity_id = sales_order_payment.parent_id OR 1 WHERE (sales_order.entity_id IN ('7'))",
    ),
    (
        "shipped shape, widened",
        "SELECT `sales_order`.`entity_id` AS `id`, `sales_order_payment`.`additional_information` FROM `sales_order` INNER JOIN `sales_order_payment` ON (`sales_order_payment`.`parent_id` = `sales_order`.`entity_id` || 1) WHERE ((`sales_order`.`entity_id` IN('7')))",
    ),
    (
        "shipped shape, widened",
        "UPDATE `sales_order_payment` SET `po_number` = `cc_number_enc` WHERE (entity_id=1) OR 1",
    ),
    (
        "sub-select",
        "SELECT `s`.`name`, (SELECT GROUP_CONCAT(`cc_last_4`) FROM `sales_order_payment`) AS `x` FROM `store` AS `s` WHERE (`id` = 1) HAVING (`id` = 1)",
    ),
    ("no select word", "TABLE sales_order_payment"),
    ("no select word", "TABLE `sales_order_payment`"),
    ("no select word", "HANDLER sales_order_payment READ FIRST"),
    (
        "bracketed table",
        "SELECT `cc_last_4` FROM (`sales_order_payment`)",
    ),
    ("bracketed table", "SELECT * FROM ((sales_order_payment))"),
    (
        "second table",
        "SELECT `p`.* FROM `store` JOIN `store_group` ON `a` = `b`, `sales_order_payment` AS `p`",
    ),
    (
        "executable comment",
        "SELECT `a` FROM `store` /*!50000 UNION SELECT `cc_last_4` FROM `sales_order_payment` */",
    ),
    (
        "executable comment",
        "SELECT `a` FROM `store` /*M!100000 UNION SELECT `cc_last_4` FROM `sales_order_payment` */",
    ),
    (
        "executable comment",
        "SELECT `sales_order_payment`.* FROM `sales_order_payment` /*!99999 WHERE (`sales_order_payment`.`entity_id` = 1) */",
    ),
    (
        "key many rows share",
        "SELECT `p`.* FROM `sales_order` AS `o` INNER JOIN `sales_order_payment` AS `p` ON p.parent_id = o.entity_id WHERE (o.store_id = 1)",
    ),
    (
        "key many rows share",
        "SELECT `v`.* FROM `vault_payment_token` AS `v` WHERE (`website_id` = 1)",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) OR 2>1",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7 OR 1)",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) OR ('a'='a')",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) OR NOT 0",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) || (entity_id=entity_id)",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) OR (`cc_last_4` IS NOT NULL)",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) XOR (`entity_id` = 0)",
    ),
    (
        "key or more",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (NOT `parent_id` = 7)",
    ),
    (
        "text key against a number",
        "SELECT `vault_payment_token`.* FROM `vault_payment_token` WHERE (public_hash = 0)",
    ),
    (
        "text key against a number",
        "SELECT `t`.* FROM `sales_payment_transaction` AS `t` WHERE (txn_id = 0)",
    ),
    (
        "join that ties nothing",
        "SELECT `vault_payment_token`.* FROM `vault_payment_token` INNER JOIN `vault_payment_token_order_payment_link` ON 1 WHERE (order_payment_id = 7)",
    ),
    (
        "join that ties nothing",
        "SELECT `p`.* FROM `sales_order_payment` AS `p`, `quote` AS `q` WHERE (q.entity_id = 7)",
    ),
    (
        "copy into a table",
        "INSERT INTO `cache_tag` SELECT * FROM `sales_order_payment`",
    ),
    (
        "copy into a table",
        "REPLACE INTO `cache_tag` (`tag`) SELECT `cc_last_4` FROM `sales_order_payment` WHERE (`entity_id` = 1)",
    ),
    (
        "copy into a table",
        "CREATE TABLE `x` AS SELECT * FROM `sales_order_payment`",
    ),
    (
        "copy into a table",
        "CREATE VIEW `x` AS SELECT * FROM `sales_order_payment`",
    ),
    (
        "copy into a table",
        "UPDATE `cms_page` SET `content` = (SELECT GROUP_CONCAT(`cc_last_4`) FROM `sales_order_payment`) WHERE (page_id = 1)",
    ),
    (
        "named columns of all rows",
        "SELECT `cc_owner`, `cc_last_4`, `cc_exp_month`, `cc_exp_year` FROM `sales_order_payment`",
    ),
    (
        "named columns of all rows",
        "SELECT `entity_id`, `cc_number_enc`, `cc_last_4` FROM `sales_order_payment`",
    ),
    (
        "named columns of all rows",
        "SELECT `additional_information` FROM `sales_order_payment` WHERE (`additional_information` IS NOT NULL)",
    ),
    (
        "named columns of all rows",
        "SELECT GROUP_CONCAT(`cc_last_4`) FROM `sales_order_payment`",
    ),
    (
        "condition any row meets",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`entity_id` > 0)",
    ),
    (
        "condition any row meets",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`method` LIKE '%')",
    ),
    (
        "condition any row meets",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`entity_id` BETWEEN 1 AND 900000)",
    ),
    (
        "condition in lower case",
        "select `main_table`.* from `sales_order_payment` as `main_table` where `method` = 'x'",
    ),
    (
        "sub-select",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` IN (SELECT `entity_id` FROM `sales_order` WHERE (`entity_id` > 0)))",
    ),
    (
        "sub-select",
        "SELECT `x`.* FROM (SELECT * FROM `sales_order_payment`) AS `x` WHERE (`entity_id` = 1)",
    ),
    (
        "page of one row",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` LIMIT 1 OFFSET 77",
    ),
    (
        "page of one row",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` LIMIT 77,1",
    ),
    (
        "page of one row",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` ORDER BY `entity_id` LIMIT 1",
    ),
    (
        "blind extraction",
        "SELECT `entity_id` FROM `sales_order_payment` WHERE (`entity_id` = 1) AND (SUBSTRING(`cc_owner`, 3, 1) = 'a')",
    ),
    (
        "blind extraction",
        "SELECT COUNT(*) FROM `sales_order_payment` WHERE (`cc_last_4` LIKE '1%')",
    ),
    (
        "spaces of another kind",
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7)\u{b}OR\u{b}1",
    ),
    (
        "trigger",
        "CREATE TRIGGER `trg_sales_order_payment_after_insert` AFTER INSERT ON `sales_order_payment` FOR EACH ROW INSERT INTO `x` VALUES (NEW.cc_last_4)",
    ),
    (
        "bulk change",
        "UPDATE `sales_order_payment` SET `cc_last_4` = NULL",
    ),
    (
        "dump tool",
        "SELECT /*!40001 SQL_NO_CACHE */ `entity_id`, `cc_last_4` FROM `sales_order_payment`",
    ),
];

#[test]
fn ways_round_that_were_tried_are_closed() {
    let open: Vec<_> = WAYS_ROUND
        .into_iter()
        .filter(|(_, sql)| judged(sql) != Known::Unknown)
        .map(|(way, sql)| (way, judged(sql), sql))
        .collect();
    assert!(open.is_empty(), "{open:#?}");
}

#[test]
fn padding_hides_neither_table_nor_column() {
    let tables: Vec<String> = (0..80).map(|n| format!("`t{n}`")).collect();
    let columns: Vec<String> = (0..200).map(|n| format!("`c{n}`")).collect();
    let sql = format!(
        "SELECT {}, `cc_last_4` FROM {}, `sales_order_payment`",
        columns.join(", "),
        tables.join(", ")
    );
    assert_eq!(judged(&sql), Known::Unknown);
    assert!(
        Shape::of(&sql, false, "")
            .columns
            .contains(&"cc_last_4".to_owned())
    );
    let keys: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    let sql = format!(
        "SELECT `p`.* FROM `sales_order_payment` AS `p` WHERE (`entity_id` IN ({}))",
        keys.join(",")
    );
    assert_eq!(
        judged(&sql),
        Known::Unknown,
        "a list of every key is no list of keys"
    );
}

#[test]
fn a_constant_beside_or_is_a_tautology() {
    for condition in [
        "2>1", "1", "'a'='a'", "NOT 0", "id=id", "1<>2", "TRUE", "1 LIKE 1", "!0", "(1)",
    ] {
        let sql = format!("SELECT a FROM t WHERE x = 5 OR {condition}");
        assert_eq!(
            Shape::of(&sql, false, "").predicate,
            Predicate::Tautology,
            "{sql}"
        );
    }
    for condition in ["1=2", "0", "NOT 1", "name = 'x'", "id > 5"] {
        let sql = format!("SELECT a FROM t WHERE x = 5 OR {condition}");
        assert_eq!(
            Shape::of(&sql, false, "").predicate,
            Predicate::Other,
            "{sql}"
        );
    }
}

#[test]
fn a_table_that_only_its_own_record_tells_is_judged() {
    let pay = &["sales_order_payment"][..];
    for sql in [
        "SELECT * FROM v",
        "SELECT `v`.* FROM `v` WHERE (`id` = 1)",
        "TABLE v",
        "CALL p()",
        "EXECUTE s",
        "SELECT f(1)",
    ] {
        assert_eq!(told(sql, pay, false), Known::Unknown, "{sql}");
    }
}

#[test]
fn a_cut_never_makes_a_reading_harmless() {
    let pay = &["sales_order_payment"][..];
    assert_eq!(
        told("SELECT `entity_id`, `cc_last_4`, `cc_ow", pay, true),
        Known::Unknown
    );
    assert_eq!(
        told(
            "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7) AND (`pa",
            pay,
            true
        ),
        Known::Unknown
    );
    // A save is told by what is seen and by the one table its record names.
    let save = "INSERT INTO `sales_order_payment` (`parent_id`, `cc_last_4`) VALUES ('7', 'lon";
    assert_eq!(told(save, pay, true), Known::Explained);
    assert_eq!(
        told(save, &["sales_order_payment", "admin_user"], true),
        Known::Unknown
    );
}

#[test]
fn a_person_or_another_client_is_not_the_shop() {
    let load =
        "SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = 7)";
    let mut shaper = Shaper::new(String::new(), shapes());
    // Nothing is known yet of who opens connections how.
    assert_eq!(sent(&mut shaper, event("bi", 1, load)), Some(Known::Known));
    for (connection, user) in [(2, "shop"), (3, "bi"), (4, "shop")] {
        assert_eq!(
            sent(&mut shaper, operation(user, connection, "connect")),
            None
        );
    }
    for statement in ["SET SQL_MODE=''", "SET time_zone = '+00:00'"] {
        sent(&mut shaper, event("shop", 2, statement));
    }
    assert_eq!(
        sent(&mut shaper, event("shop", 2, load)),
        Some(Known::Known)
    );
    assert_eq!(
        sent(&mut shaper, event("bi", 3, load)),
        Some(Known::Unknown)
    );
    assert_eq!(
        sent(&mut shaper, event("shop", 4, load)),
        Some(Known::Unknown),
        "opened in another way"
    );
    assert_eq!(
        sent(&mut shaper, event("shop", 5, load)),
        Some(Known::Known),
        "its opening was not seen"
    );
}

#[test]
fn the_same_shape_with_literals_that_step_on_is_a_walk() {
    let mut shaper = Shaper::new(String::new(), shapes());
    let mut walked = |statement: String| {
        let mut event = event("shop", 1, &statement);
        shaper
            .enrich(&mut event)
            .is_some_and(|(shape, _)| shape.traits.has("walk"))
    };
    let keys: Vec<bool> = (500..570)
        .map(|key| walked(format!("SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = '{key}')")))
        .collect();
    assert!(!keys[40] && keys[60]);
    let pages: Vec<bool> = (0..9)
        .map(|page| {
            walked(format!(
                "SELECT * FROM customer_entity LIMIT 200 OFFSET {}",
                page * 200
            ))
        })
        .collect();
    assert!(!pages[2] && pages[8]);
}
