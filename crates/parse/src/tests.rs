//! What every format must hold: it reads its own records, and no bytes make it panic or invent.

use model::{Event, EventRef, Field, Sequence, TimeQuality, Value};
use proptest::prelude::*;

use super::{Context, FORMATS, Frame, Joiner, SourceState, named, sniff};

fn context() -> Context {
    Context {
        zone: jiff::tz::TimeZone::UTC,
        zone_quality: TimeQuality::ZoneConfigured,
        trusted_proxies: Vec::new(),
        table_prefix: "mg_".to_owned(),
        stores: model::StoreMap::default(),
    }
}

fn show(event: &Event<'_>) -> String {
    let mut lines = vec![
        event.category.name().to_owned(),
        event
            .time
            .map_or("no time".to_owned(), |time| time.to_string()),
    ];
    for (field, value) in event.fields() {
        let value = match value {
            Value::Text(text) => text.to_string(),
            Value::Int(number) => number.to_string(),
            Value::List(list) => list.join(","),
        };
        lines.push(format!("{}={value}", field.name()));
    }
    lines.join("|")
}

#[track_caller]
fn check(format: &str, record: &str, expected: &[&str]) {
    let format = named(format).expect("the format is listed");
    assert_eq!(
        sniff(record.as_bytes()).map(|format| format.name()),
        Some(format.name()),
        "sniffed"
    );
    let mut state = SourceState::default();
    let event = format
        .parse(record.as_bytes(), &context(), &mut state)
        .expect("readable");
    let shown = show(&event);
    for part in expected {
        assert!(
            shown.split('|').any(|field| field == *part),
            "no {part} in {shown}"
        );
    }
}

#[test]
fn reads_server_audit() {
    check(
        "mariadb_server_audit",
        "20260805 10:15:30,db1,magento,10.0.0.12:53412,9,501,QUERY,magento,'SELECT \\'a,b\\'\\nFROM x',0\n",
        &[
            "2026-08-05T10:15:30Z",
            "db.user=magento",
            "db.client_host=10.0.0.12",
            "db.query_id=501",
            "db.statement=SELECT 'a,b'\nFROM x",
            "db.error_code=0",
        ],
    );
    check(
        "mariadb_server_audit",
        "20260805 10:15:30,db1,m,h,9,501,READ,magento,mg_sales_order_payment,\n",
        &["db.operation=read", "db.tables=sales_order_payment"],
    );
    check(
        "mariadb_server_audit",
        "20260805 10:15:32,db1,nobody,203.0.113.9,12,0,FAILED_CONNECT,,,1045\n",
        &["db.operation=failed_connect", "db.error_code=1045"],
    );
    check(
        "mariadb_server_audit",
        "20260805 10:15:32,db1,m,h,12,0,CONNECT,magento,,0,SSL/TLS\n",
        &["db.operation=connect"],
    );
    check(
        "mariadb_server_audit",
        "Aug  5 10:15:30 db1 mysql-server_auditing:  db1,m,h,9,501,QUERY,magento,'SELECT 1',0\n",
        &["db.user=m", "db.statement=SELECT 1", "log.host=db1"],
    );
    check(
        "mariadb_server_audit",
        "1785924930123456,aurora,m,10.0.0.12,9,501,QUERY,magento,'SELECT 1',0\n",
        &["2026-08-05T10:15:30.123456Z"],
    );
}

#[test]
fn a_statement_at_the_limit_is_marked_as_cut() {
    let record = format!(
        "20260805 10:15:30,db1,m,h,9,501,QUERY,magento,'SELECT {}',0\n",
        "x".repeat(1100)
    );
    check("mariadb_server_audit", &record, &["db.statement_cut=1"]);
}

#[test]
fn reads_web_logs() {
    check(
        "nginx_combined",
        "192.0.2.7 - - [05/Aug/2026:10:15:30 +0200] \"GET /a%20b?q=1+2 HTTP/1.1\" 200 51 \"-\" \"curl \\\"8\"\n",
        &[
            "2026-08-05T08:15:30Z",
            "c-ip=192.0.2.7",
            "cs-uri-stem=/a b",
            "cs-uri-query=q=1 2",
            "sc-status=200",
            "sc-bytes=51",
            "cs-user-agent=curl \"8",
        ],
    );
    check(
        "nginx_json",
        "{\"ts\":\"2026-08-05T10:15:30+00:00\",\"remote_addr\":\"192.0.2.7\",\"host\":\"a.example\",\"method\":\"GET\",\"uri\":\"/x?y=1\",\"status\":404,\"bytes\":5,\"ua\":\"curl\",\"rt\":0.25}\n",
        &[
            "cs-host=a.example",
            "sc-status=404",
            "time-taken=250000",
            "cs-uri-query=y=1",
        ],
    );
    check(
        "apache_combined",
        "shop.example:443 192.0.2.7 - - [05/Aug/2026:10:15:30 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"\n",
        &["c-ip=192.0.2.7", "cs-host=shop.example:443"],
    );
}

#[test]
fn reads_slow_and_general_logs() {
    check(
        "mysql_slow",
        "# Time: 260805 10:15:30\n# User@Host: magento[magento] @ app [10.0.0.12]\n# Thread_id: 9  Schema: magento  QC_hit: No\n# Query_time: 1.203311  Lock_time: 0.000040  Rows_sent: 48211  Rows_examined: 48211\n# Rows_affected: 0  Bytes_sent: 9211033\nuse `magento`;\nSET timestamp=1785924930;\nSELECT *\nFROM x;\n",
        &[
            "2026-08-05T10:15:30Z",
            "db.rows_sent=48211",
            "db.bytes_sent=9211033",
            "db.connection_id=9",
            "db.statement=SELECT *\nFROM x",
            "db.query_time=1203311",
        ],
    );
    check(
        "mysql_general",
        "260805 10:15:30\t   158 Connect\troot@localhost on magento using Socket\n",
        &[
            "db.user=root",
            "db.client_host=localhost",
            "db.operation=connect",
        ],
    );
    check(
        "mysql_general",
        "2026-08-05T10:15:30.000000Z\t   12 Query\tselect 1\n",
        &["db.statement=select 1", "2026-08-05T10:15:30Z"],
    );
}

#[test]
fn reads_application_and_service_logs() {
    check(
        "monolog",
        "[2026-08-05T10:15:30.500000+00:00] main.CRITICAL: It broke {\"exception\":\"x\"} []\n#0 trace\n",
        &["log.level=CRITICAL", "message=It broke", "log.logger=main"],
    );
    check(
        "monolog",
        "[2026-08-05 10:15:30] report.ERROR: It broke [] []\n",
        &["log.level=ERROR"],
    );
    check(
        "nginx_error",
        "2026/08/05 10:15:30 [error] 6#6: *1 access forbidden by rule, client: 192.0.2.7, server: s, request: \"GET /x.php HTTP/1.1\", host: \"a.example\"\n",
        &["c-ip=192.0.2.7", "cs-uri-stem=/x.php", "cs-host=a.example"],
    );
    check(
        "mysql_error",
        "2026-08-05 10:15:30 0 [Note] Starting\n",
        &["log.level=Note", "message=Starting"],
    );
    check(
        "php_fpm_access",
        "- -  05/Aug/2026:10:15:30 +0000 \"GET /index.php\" 200\n",
        &["sc-status=200", "cs-uri-stem=/index.php"],
    );
    check(
        "syslog_5424",
        "<34>1 2026-08-05T10:15:30Z host app 7 - [a@1 b=\"\\]\"] hello\n",
        &["message=hello", "process.pid=7"],
    );
    check(
        "syslog_3164",
        "Aug  5 10:15:30 host sshd[7]: hello\n",
        &["message=hello", "log.logger=sshd"],
    );
    check(
        "percona_audit_json",
        "{\"audit_record\":{\"name\":\"Query\",\"timestamp\":\"2026-08-05T10:15:30 UTC\",\"connection_id\":\"9\",\"status\":0,\"sqltext\":\"select 1\",\"user\":\"m[m] @ a [10.0.0.1]\",\"host\":\"a\",\"ip\":\"10.0.0.1\",\"db\":\"m\"}}\n",
        &["db.statement=select 1", "db.connection_id=9", "db.user=m"],
    );
    check(
        "mysql_enterprise_audit_json",
        "{ \"timestamp\": \"2026-08-05 10:15:30\", \"id\": 1, \"class\": \"general\", \"event\": \"status\", \"connection_id\": 13, \"account\": { \"user\": \"m\", \"host\": \"h\" }, \"login\": {\"ip\": \"\"}, \"general_data\": { \"query\": \"select 1\", \"status\": 0 } },\n",
        &["db.statement=select 1", "2026-08-05T10:15:30Z"],
    );
}

#[test]
fn table_records_tell_what_a_cut_statement_lost() {
    let format = named("mariadb_server_audit").expect("listed");
    let (mut joiner, mut out, mut state) = (Joiner::new(), Vec::new(), SourceState::default());
    let records = [
        "20260805 10:15:30,db1,m,h,9,501,READ,magento,sales_order_payment,",
        "20260805 10:15:30,db1,m,h,9,501,QUERY,magento,'SELECT `a`, `b',0",
    ];
    for (record, at) in records.iter().zip(0..) {
        let event = format
            .parse(record.as_bytes(), &context(), &mut state)
            .expect("readable");
        joiner.push(
            event,
            EventRef {
                sequence: Sequence(at),
                index: 0,
            },
            &mut out,
        );
    }
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].event.list(Field::Tables), ["sales_order_payment"]);
    assert_eq!(out[0].refs.len(), 2);
}

#[test]
fn a_statement_whose_record_never_comes_leaves_as_what_its_tables_tell() {
    let format = named("mariadb_server_audit").expect("listed");
    let (mut joiner, mut out, mut state) = (Joiner::new(), Vec::new(), SourceState::default());
    let records: Vec<String> = (0..5000)
        .flat_map(|query| {
            ["READ", "WRITE"].map(|operation| {
                format!(
                    "20260805 10:15:30,db1,m,h,9,{},{operation},magento,mg_{operation},",
                    query + 1
                )
            })
        })
        .collect();
    for (record, at) in records.iter().zip(0..) {
        let event = format
            .parse(record.as_bytes(), &context(), &mut state)
            .expect("readable");
        joiner.push(
            event,
            EventRef {
                sequence: Sequence(at),
                index: 0,
            },
            &mut out,
        );
    }
    assert_eq!(
        out.len(),
        5000 - 4096,
        "the oldest left when too many waited"
    );
    assert_eq!(out[0].event.int(Field::QueryId), Some(1));
    let mut rest = Vec::new();
    joiner.flush(&mut rest);
    assert_eq!(rest.len(), 4096);
    assert_eq!(rest[0].event.text(Field::Operation), Some("write"));
    assert_eq!(rest[0].event.list(Field::Tables), ["READ", "WRITE"]);
    assert_eq!(rest[0].event.list(Field::TablesWritten), ["WRITE"]);
    assert_eq!(rest[0].refs.len(), 2);
}

/// Pushes server_audit records; gives how many events left the join.
fn joined(records: &[String]) -> usize {
    let format = named("mariadb_server_audit").expect("listed");
    let (mut joiner, mut state, mut left) = (Joiner::new(), SourceState::default(), 0);
    for (record, at) in records.iter().zip(0..) {
        let mut out = Vec::new();
        let event = format
            .parse(record.as_bytes(), &context(), &mut state)
            .expect("readable");
        let at = EventRef {
            sequence: Sequence(at),
            index: 0,
        };
        joiner.push(event, at, &mut out);
        left += out.len();
    }
    left
}

#[test]
fn a_log_without_statements_waits_a_minute_one_with_them_an_hour() {
    let read =
        |time: &str, query: u32| format!("20260805 {time},db1,m,h,9,{query},READ,magento,t,");
    let query = "20260805 10:00:00,db1,m,h,9,1,QUERY,magento,'SELECT 1',0".to_owned();
    assert_eq!(joined(&[read("10:00:00", 5), read("10:01:00", 6)]), 0);
    assert_eq!(joined(&[read("10:00:00", 5), read("10:01:01", 6)]), 1);
    assert_eq!(
        joined(&[query.clone(), read("10:00:00", 5), read("11:00:00", 6)]),
        1
    );
    assert_eq!(
        joined(&[query, read("10:00:00", 5), read("11:00:01", 6)]),
        2
    );
}

#[test]
fn long_names_can_not_fill_the_memory_of_a_join() {
    let name = "x".repeat(1 << 19);
    let records: Vec<String> = (0..64)
        .map(|query| {
            format!(
                "20260805 10:15:30,db1,m,h,9,{},READ,magento,{name}{query},",
                query + 1
            )
        })
        .collect();
    let waiting = records.len() - joined(&records);
    assert!(
        (1..=32).contains(&waiting),
        "{waiting} records of half a megabyte wait"
    );
    // The same of one statement, which reads many tables.
    let records: Vec<String> = (0..64)
        .map(|table| format!("20260805 10:15:30,db1,m,h,9,1,READ,magento,{name}{table},"))
        .collect();
    assert!(joined(&records) >= 1);
}

#[test]
fn an_account_whose_name_is_too_long_is_not_taken_for_the_one_before() {
    let mut state = SourceState::default();
    state.remember(7, "shop", "web1");
    state.remember(7, &"x".repeat(257), "web1");
    assert!(state.accounts.is_empty());
    for connection in 0..9000 {
        state.remember(connection, "shop", &"h".repeat(256));
    }
    assert_eq!(state.accounts.len(), 8192);
}

#[test]
fn connection_events_pass_through_a_join() {
    let format = named("mariadb_server_audit").expect("listed");
    let (mut joiner, mut out, mut state) = (Joiner::new(), Vec::new(), SourceState::default());
    let event = format
        .parse(
            b"20260805 10:15:30,db1,m,h,9,0,CONNECT,magento,,0",
            &context(),
            &mut state,
        )
        .expect("readable");
    joiner.push(
        event,
        EventRef {
            sequence: Sequence(0),
            index: 0,
        },
        &mut out,
    );
    assert_eq!(out.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_format_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for format in FORMATS {
            let _sniffed = format.sniff(&bytes);
            let mut state = SourceState::default();
            let _read = format.parse(&bytes, &context(), &mut state).is_ok();
            if let Frame::Record { end } = format.frame(&bytes, true) {
                prop_assert!(end > 0 && end <= bytes.len());
            }
        }
    }

    #[test]
    fn a_mutated_record_never_panics(at in 0_usize..300, byte in any::<u8>()) {
        let records = [
            "20260805 10:15:30,db1,magento,10.0.0.12,9,501,QUERY,magento,'SELECT \\'a\\' FROM x',0\n",
            "192.0.2.7 - - [05/Aug/2026:10:15:30 +0200] \"GET /a%20b?q=1+2 HTTP/1.1\" 200 51 \"-\" \"curl\"\n",
            "# User@Host: m[m] @ a [10.0.0.1]\n# Thread_id: 9  Schema: magento\nSET timestamp=1;\nselect 1;\n",
            "260805 10:15:30\t   158 Connect\troot@localhost on magento using Socket\n",
            "[2026-08-05T10:15:30.500000+00:00] main.CRITICAL: It broke {\"exception\":\"x\"} []\n",
            "<34>1 2026-08-05T10:15:30Z host app 7 - [a@1 b=\"\\]\"] hello\n",
        ];
        for record in records {
            let mut bytes = record.as_bytes().to_vec();
            let index = at % bytes.len();
            bytes[index] = byte;
            for format in FORMATS {
                let _read = format.parse(&bytes, &context(), &mut SourceState::default()).is_ok();
            }
        }
    }
}
