//! Events as MariaDB writes them, whole, poor and hostile.

use model::Position;
use serde_json::Value;

use super::event::{Header, Told, read};
use super::log::{At, Boundary, Log, Taken};
use super::place::{Mark, Place};

const SECRET: &str = "$argon2-hash";

/// Builds the bodies of events.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn number(mut self, count: usize, number: u64) -> Self {
        self.0
            .extend(number.to_le_bytes().get(..count).expect("eight at most"));
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Behind a byte of length.
    fn short(self, bytes: &[u8]) -> Self {
        let length = bytes.len() as u64;
        self.number(1, length).bytes(bytes)
    }
}

/// A column's name, type, and bytes of its metadata.
type Named<'a> = (&'a str, u8, &'a [u8]);

/// A table of columns.
fn table(id: u64, schema: &str, name: &str, columns: &[Named<'_>], is_named: bool) -> Vec<u8> {
    let bytes =
        |of: &dyn Fn(&Named<'_>) -> Vec<u8>| -> Vec<u8> { columns.iter().flat_map(of).collect() };
    let body = Body::default()
        .number(6, id)
        .number(2, 1)
        .short(schema.as_bytes())
        .number(1, 0)
        .short(name.as_bytes())
        .number(1, 0)
        .number(1, columns.len() as u64)
        .bytes(&bytes(&|column| vec![column.1]))
        .short(&bytes(&|column| column.2.to_vec()))
        .number(columns.len().div_ceil(8), 0);
    // Every number is unsigned.
    let body = body.number(1, 1).short(&[0xff]);
    if !is_named {
        return body.0;
    }
    let names = bytes(&|column| Body::default().short(column.0.as_bytes()).0);
    body.number(1, 4).short(&names).0
}

fn config(is_named: bool) -> Vec<u8> {
    table(
        7,
        "shop",
        "mg_core_config_data",
        &[
            ("config_id", 3, &[]),
            ("scope", 15, &[32, 0]),
            ("scope_id", 3, &[]),
            ("path", 15, &[0xfc, 3]),
            ("value", 252, &[2]),
        ],
        is_named,
    )
}

fn config_row(id: u64, path: &str, value: &str) -> Vec<u8> {
    Body::default()
        .number(1, 0)
        .number(4, id)
        .short(b"default")
        .number(4, 0)
        .number(2, path.len() as u64)
        .bytes(path.as_bytes())
        .number(2, value.len() as u64)
        .bytes(value.as_bytes())
        .0
}

/// Rows of a table of five columns; a change has a second set of those that are there.
fn rows(id: u64, columns: u64, present: &[u64], images: &[u8]) -> Vec<u8> {
    let body = Body::default()
        .number(6, id)
        .number(2, 1)
        .number(1, columns);
    let body = present
        .iter()
        .fold(body, |body, present| body.number(1, *present));
    body.bytes(images).0
}

fn header(kind: u8) -> Header {
    Header {
        time: 1_785_924_930,
        kind,
        server: 3,
        size: 0,
        end: 0,
        is_artificial: false,
    }
}

fn take(log: &mut Log, kind: u8, body: &[u8]) -> Taken {
    let at = At {
        file: "b.000002",
        position: 500,
    };
    log.take(&header(kind), body, &at)
}

fn shop() -> Log {
    Log::new("shop", "mg_")
}

fn json(taken: &Taken) -> Vec<Value> {
    let records = taken.records.iter();
    records
        .map(|(_, record)| serde_json::from_slice(record).expect("a record"))
        .collect()
}

#[test]
fn a_row_is_told_with_its_statement_its_transaction_and_its_place() {
    let mut log = shop();
    let gtid = Body::default()
        .number(8, 42)
        .number(4, 0)
        .number(1, 0)
        .number(6, 0);
    let taken = take(&mut log, 162, &gtid.0);
    assert_eq!(taken.boundary, Some(Boundary::Before));
    take(&mut log, 160, b"insert into mg_core_config_data values (9, 'default', 0, 'design/head/includes', '<script>', 'else')");
    take(&mut log, 19, &config(true));
    let image = config_row(9, "design/head/includes", "<script>");
    let taken = take(&mut log, 23, &rows(7, 5, &[0x1f], &image));
    let expected = serde_json::json!([{
        "category": "shop_row",
        "time": "2026-08-05T10:15:30Z",
        "db.schema": "shop",
        "db.server_id": 3,
        "db.gtid": "0-3-42",
        "db.log_position": "b.000002:500",
        "db.statement": "insert into mg_core_config_data values (9, 'default', 0, 'design/head/includes', '<script>', ?)",
        "row.table": "core_config_data",
        "row.key": "9",
        "change": "created",
        "config.path": "design/head/includes",
        "row.columns": ["config_id", "scope", "scope_id", "path", "value"],
        "row.values": ["scope=default", "scope_id=0", "path=design/head/includes", "value=<script>"],
    }]);
    assert_eq!(Value::from(json(&taken)), expected);
    assert_eq!(take(&mut log, 16, &[]).boundary, Some(Boundary::After));
}

#[test]
fn a_change_tells_the_changed_columns_alone() {
    let mut log = shop();
    take(&mut log, 19, &config(true));
    let mut images = config_row(9, "web/seo/x", "old");
    images.extend(config_row(9, "web/seo/x", "new"));
    let taken = take(&mut log, 24, &rows(7, 5, &[0x1f, 0x1f], &images));
    let row = &json(&taken)[0];
    assert_eq!(row["row.columns"], serde_json::json!(["value"]));
    assert_eq!(row["row.values"], serde_json::json!(["value=new"]));
    // An image of the key and the value alone: whether the path's value may be read isn't known.
    let mut log = shop();
    take(&mut log, 19, &config(true));
    let images = Body::default().number(1, 0).number(4, 9);
    let images = images.number(1, 0).number(2, 3).bytes(b"new");
    let taken = take(&mut log, 24, &rows(7, 5, &[1, 0x10], &images.0));
    let row = &json(&taken)[0];
    assert_eq!(row["row.key"], "9");
    assert_eq!(row["row.columns"], serde_json::json!(["value"]));
    assert_eq!(row.get("row.values"), None);
}

#[test]
fn no_value_of_another_column_table_or_path_is_told() {
    let mut log = shop();
    take(
        &mut log,
        160,
        format!("insert into x values ('{SECRET}')").as_bytes(),
    );
    let columns: &[Named<'_>] = &[
        ("user_id", 3, &[]),
        ("username", 15, &[40, 0]),
        ("password", 15, &[255, 0]),
    ];
    let image = Body::default().number(1, 0).number(4, 1);
    let image = image.short(b"eve").short(SECRET.as_bytes()).0;
    for (schema, name, count) in [
        ("shop", "mg_admin_user", 1),
        ("shop", "mg_sales_order_payment", 0),
        ("shop", "admin_user", 0),
        ("other", "mg_admin_user", 0),
    ] {
        take(
            &mut log,
            160,
            format!("insert into x values ('{SECRET}', 'eve')").as_bytes(),
        );
        take(&mut log, 19, &table(8, schema, name, columns, true));
        let taken = take(&mut log, 23, &rows(8, 3, &[7], &image));
        assert_eq!(taken.records.len(), count, "{schema}.{name}");
        assert_eq!(taken.dropped, None);
        let told = Value::from(json(&taken)).to_string();
        assert!(!told.contains(SECRET), "{told}");
        if count == 1 {
            assert!(
                told.contains("username=eve") && told.contains("password"),
                "{told}"
            );
        }
    }
    // A setting that is a secret, and one that was.
    for (was, is) in [
        ("payment/x/private_key", "payment/x/private_key"),
        ("payment/x/private_key", "design/head/includes"),
    ] {
        take(
            &mut log,
            160,
            format!("update x set value='{SECRET}' -- {SECRET}").as_bytes(),
        );
        take(&mut log, 19, &config(true));
        let mut images = config_row(9, was, "old");
        images.extend(config_row(9, is, SECRET));
        let taken = take(&mut log, 24, &rows(7, 5, &[0x1f, 0x1f], &images));
        let told = Value::from(json(&taken)).to_string();
        assert!(!told.contains(SECRET) && told.contains("value"), "{told}");
    }
}

#[test]
fn a_log_that_names_no_columns_tells_no_value_and_says_so() {
    let mut log = shop();
    take(&mut log, 160, b"insert into t values (9, 'web/seo/x', 'v')");
    take(&mut log, 19, &config(false));
    let taken = take(
        &mut log,
        23,
        &rows(7, 5, &[0x1f], &config_row(9, "web/seo/x", "v")),
    );
    let row = &json(&taken)[0];
    assert_eq!(row["row.table"], "core_config_data");
    assert_eq!(row["db.statement"], "insert into t values (?, ?, ?)");
    assert_eq!((row.get("row.key"), row.get("row.values")), (None, None));
    assert!(
        taken
            .poor
            .is_some_and(|why| why.contains("binlog_row_metadata"))
    );
}

#[test]
fn definitions_are_told_and_what_is_not_told_by_rows_is_said() {
    let query = |schema: &str, statement: &str| {
        let body = Body::default().number(4, 77).number(4, 0);
        let body = body
            .number(1, schema.len() as u64)
            .number(2, 0)
            .number(2, 0);
        body.bytes(schema.as_bytes())
            .number(1, 0)
            .bytes(statement.as_bytes())
            .0
    };
    let mut log = shop();
    let trigger = "CREATE TRIGGER t1 AFTER INSERT ON mg_quote_payment FOR EACH ROW SET @a = 1";
    let row = json(&take(&mut log, 2, &query("shop", trigger)))[0].clone();
    assert_eq!(row["category"], "database");
    assert_eq!(row["db.connection_id"], 77);
    assert_eq!(row["db.statement"], trigger);
    assert!(
        take(&mut log, 2, &query("other", trigger))
            .records
            .is_empty()
    );
    let account = query("shop", "create user a identified by 'secret'");
    assert!(take(&mut log, 2, &account).records.is_empty());
    let taken = take(
        &mut log,
        2,
        &query("shop", "update mg_admin_user set password = 'x'"),
    );
    assert!(taken.records.is_empty() && taken.dropped.is_some());
    // MySQL's transactions begin with a statement, whose connection wrote what follows.
    take(&mut log, 2, &query("shop", "BEGIN"));
    take(&mut log, 19, &config(true));
    let taken = take(
        &mut log,
        23,
        &rows(7, 5, &[0x1f], &config_row(9, "web/x", "v")),
    );
    assert_eq!(json(&taken)[0]["db.connection_id"], 77);
    let compressed = take(&mut log, 40, b"xyz");
    assert!(compressed.dropped.is_some());
}

#[test]
fn damaged_and_hostile_events_are_said_and_never_break_it() {
    let whole = [
        (19, config(true)),
        (23, rows(7, 5, &[0x1f], &config_row(9, "web/x", "v"))),
        (24, rows(7, 5, &[0x1f, 0x1f], &config_row(9, "web/x", "v"))),
        (166, rows(7, 5, &[0x1f], &[0x81, 200, 1, 2, 3])),
        (162, vec![0; 19]),
        (33, vec![0; 25]),
        (2, vec![0; 13]),
        (165, vec![0; 14]),
        (4, vec![0; 12]),
    ];
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut said = 0;
    for _ in 0..20_000 {
        let mut log = shop();
        take(&mut log, 19, &config(true));
        let at = usize::try_from(random() % whole.len() as u64).expect("small");
        let (kind, body) = &whole[at];
        let mut body = body.clone();
        for _ in 0..random() % 4 {
            let at = usize::try_from(random() % body.len() as u64).expect("small");
            body[at] = random().to_le_bytes()[0];
        }
        if random().is_multiple_of(3) {
            body.truncate(usize::try_from(random() % body.len() as u64).expect("small"));
        }
        said += u64::from(take(&mut log, *kind, &body).dropped.is_some());
    }
    assert!(said > 1000, "{said}");
    // Rows of no column would never end, and what says it is larger than it may be isn't unpacked.
    let mut log = shop();
    take(&mut log, 19, &config(true));
    assert!(
        take(&mut log, 23, &rows(7, 5, &[0], b"abc"))
            .dropped
            .is_some()
    );
    take(&mut log, 19, &config(true));
    let bomb = rows(7, 5, &[0x1f], &[0x84, 0xff, 0xff, 0xff, 0xff, 1]);
    assert!(
        take(&mut log, 166, &bomb)
            .dropped
            .is_some_and(|why| why.contains("64 MiB"))
    );
}

#[test]
fn a_newer_mariadb_says_which_connection_wrote() {
    let told = |flags: u64, rest: Body| {
        let body = Body::default().number(8, 5).number(4, 1).number(1, flags);
        let body = body.bytes(&rest.0).0;
        match read(&header(162), &body, |_, _| true) {
            Ok(Told::Gtid { gtid, connection }) => (gtid, connection),
            other => panic!("{other:?}"),
        }
    };
    let expected = |connection| ("1-3-5".to_owned(), connection);
    let thread = |body: Body| body.number(1, 0x10).number(4, 99);
    assert_eq!(told(0, thread(Body::default())), expected(Some(99)));
    assert_eq!(
        told(2, thread(Body::default().number(8, 1))),
        expected(Some(99))
    );
    assert_eq!(told(0, Body::default().number(6, 0)), expected(None));
    assert_eq!(told(2, Body::default().number(8, 1)), expected(None));
}

#[test]
fn places_of_an_events_rows_follow_each_other_and_stay_before_the_next_event() {
    let place = Place::default();
    let at = |start, number| Mark::new(&place, "b.000002", start, number);
    let last = at(5000, 2);
    let end = Position {
        offset_bytes: last.offset_bytes() + 300,
    };
    let sealed = Some(Mark::sealed(last.generation(), end));
    assert!(at(5000, 2).is_sealed(sealed) && at(4000, 4000).is_sealed(sealed));
    assert!(!at(5000, 3).is_sealed(sealed) && !at(5001, 0).is_sealed(sealed));
    assert!(at(5000, 90_000).is_sealed(Some(at(5001, 0))));
    // Of a file of eight gigabytes the place still fits what databases count with.
    assert!(i64::try_from(at((8 << 30) - 1, 4095).offset_bytes()).is_ok());
}
