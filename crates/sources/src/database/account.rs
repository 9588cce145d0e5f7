//! The account magewarden logs in with: how it is made, and that it may read no more than that.
//!
//! The one list of what is read is [`READ`]. No column on it holds card data, a secret or a person's
//! data; of a payment table only the primary key is on it, so that the server's estimate of its size
//! is told. Reading variables, status and its own grants needs no privilege on MariaDB (tried on
//! 10.11); on MySQL 8 that is unverified.

use std::collections::BTreeMap;
use std::path::Path;

use super::digests;
use super::rows::tables::granted;
use super::{Account, Make, Server};

/// Tables and the columns of them that are read.
pub const READ: [(&str, &[&str]); 5] = [
    ("store", &["store_id", "code", "website_id"]),
    ("store_website", &["website_id", "code"]),
    ("sales_order_payment", &["entity_id"]),
    ("quote_payment", &["payment_id"]),
    ("vault_payment_token", &["entity_id"]),
];

/// The payment tables whose size is asked for.
pub(super) const SIZED: [&str; 3] = [
    "sales_order_payment",
    "quote_payment",
    "vault_payment_token",
];

/// A name as SQL quotes it.
pub(super) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as SQL quotes it.
pub(super) fn quoted_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// How the account is made and unmade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statements {
    /// `CREATE USER` and the `GRANT`s, one a line.
    pub create: Vec<String>,
    /// Further `GRANT`s, by the kind of source that needs them.
    pub further: BTreeMap<&'static str, Vec<String>>,
    /// What undoes all of them.
    pub undo: String,
}

/// The statements that make `account` for the shop in `schema`; `from` is the address this host has for the server.
///
/// With a password file the password itself is not read: it stands as a placeholder.
#[must_use]
pub fn statements(
    account: &Account,
    server: &Server,
    make: Option<Make>,
    from: &str,
    schema: &str,
    prefix: &str,
) -> Statements {
    let host = match server {
        Server::Socket(_) => "localhost",
        Server::Network { .. } => from,
    };
    let who = format!("{}@{}", quoted_text(&account.user), quoted_text(host));
    let how = match (&account.password_file, make) {
        (Some(file), _) => format!(
            "IDENTIFIED BY {}",
            quoted_text(&format!("THE PASSWORD IN {}", file.display()))
        ),
        // Over a port nobody vouches for the operating system's user.
        (None, _) if !matches!(server, Server::Socket(_)) => {
            format!(
                "IDENTIFIED BY {}",
                quoted_text("A PASSWORD FOR --database-password-file")
            )
        }
        (None, Some(Make::MySql | Make::Percona)) => "IDENTIFIED WITH auth_socket".to_owned(),
        (None, Some(Make::MariaDb) | None) => "IDENTIFIED VIA unix_socket".to_owned(),
    };
    let tls = if server.is_here() { "" } else { " REQUIRE SSL" };
    let mut create = vec![format!("CREATE USER {who} {how}{tls};")];
    let grant = |table: &str, columns: &[&str]| {
        let columns: Vec<String> = columns.iter().map(|name| quoted_name(name)).collect();
        format!(
            "GRANT SELECT ({}) ON {}.{} TO {who};",
            columns.join(", "),
            quoted_name(schema),
            quoted_name(&format!("{prefix}{table}"))
        )
    };
    create.extend(READ.iter().map(|(table, columns)| grant(table, columns)));
    Statements {
        create,
        further: BTreeMap::from([
            (
                "shop_rows",
                granted()
                    .map(|(table, columns)| grant(table, &columns))
                    .collect(),
            ),
            (
                "statement_digests",
                vec![format!("GRANT SELECT ON {} TO {who};", digests_table())],
            ),
        ]),
        undo: format!("DROP USER {who};"),
    }
}

/// The one table outside the shop's schema: sums by normalised statement, without values.
fn digests_table() -> String {
    format!(
        "{}.{}",
        quoted_name(digests::SCHEMA),
        quoted_name(digests::TABLE)
    )
}

/// The statements that make an account for the source `binlog`, and as a comment the one that undoes them.
///
/// It is another account than the one that asks: whoever may read the log may read every row.
#[must_use]
pub fn statements_for_log(account: &Account, server: &Server, from: &str) -> Vec<String> {
    let made = statements(account, server, None, from, "", "");
    let who = made.undo.trim_start_matches("DROP USER ");
    let grant = format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {who}");
    let create = made.create.into_iter().take(1);
    create
        .chain([grant, format!("-- Undo: {}", made.undo)])
        .collect()
}

/// What of the lines of `SHOW GRANTS` goes beyond [`READ`] and the rows that can be watched, in words; empty when nothing does.
///
/// A role counts: what it may read isn't shown. A line that can't be read counts, too. No word
/// of a line behind the account's name is given on: a password's hash may stand there.
#[must_use]
pub fn excess(lines: &[String], schema: &str, prefix: &str) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| beyond(line, schema, prefix))
        .collect()
}

fn beyond(line: &str, schema: &str, prefix: &str) -> Option<String> {
    let tokens = tokens(line);
    let is = |at: usize, word: &str| matches!(tokens.get(at), Some(Token::Word(text)) if text.eq_ignore_ascii_case(word));
    let place = |word: &str| (1..tokens.len()).find(|at| is(*at, word));
    let Some(to) = place("TO").filter(|_| is(0, "GRANT")) else {
        return Some("a right that can't be read".to_owned());
    };
    let Some(on) = place("ON").filter(|on| *on < to) else {
        return Some(format!("the role {}", words(tokens.get(1..to)?)));
    };
    let (rights, object) = (tokens.get(1..on)?, tokens.get(on + 1..to)?);
    let shown = format!("{} on {}", words(rights), words(object));
    if (to..tokens.len()).any(|at| is(at, "GRANT") && is(at + 1, "OPTION")) {
        return Some(format!("{shown} with the right to grant it on"));
    }
    if is(1, "USAGE") && on == 2 {
        return None;
    }
    let is_select = matches!(rights, [Token::Word(right)] if right.eq_ignore_ascii_case("SELECT"));
    if is_select && words(object) == digests_table() {
        return None;
    }
    let allowed: Option<Vec<&str>> = match object {
        [of, Token::Mark('.'), table] if of.name() == Some(schema) => {
            let columns: Vec<&str> = READ
                .iter()
                .map(|(name, columns)| (*name, columns.to_vec()))
                .chain(granted())
                .filter(|(name, _)| table.name() == Some(&format!("{prefix}{name}")))
                .flat_map(|(_, columns)| columns)
                .collect();
            (!columns.is_empty()).then_some(columns)
        }
        _ => None,
    };
    // `SELECT (a, b)` and nothing else.
    let fits = match rights {
        [
            Token::Word(select),
            Token::Mark('('),
            columns @ ..,
            Token::Mark(')'),
        ] if select.eq_ignore_ascii_case("SELECT") => {
            columns.iter().enumerate().all(|(index, column)| {
                if index % 2 == 1 {
                    *column == Token::Mark(',')
                } else {
                    column.name().is_some_and(|name| {
                        allowed
                            .as_ref()
                            .is_some_and(|allowed| allowed.contains(&name))
                    })
                }
            })
        }
        _ => false,
    };
    (!fits).then_some(shown)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Mark(char),
}

impl Token {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(text) | Self::Quoted(text) => Some(text),
            Self::Mark(_) => None,
        }
    }
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '`' | '\'' | '"' => {
                let mut text = String::new();
                while let Some(next) = rest.next() {
                    if next != first {
                        text.push(next);
                    } else if rest.next_if_eq(&first).is_some() {
                        text.push(first);
                    } else {
                        break;
                    }
                }
                tokens.push(Token::Quoted(text));
            }
            first if first.is_whitespace() => {}
            first if first.is_alphanumeric() || first == '_' || first == '$' => {
                let mut text = String::from(first);
                while let Some(next) =
                    rest.next_if(|next| next.is_alphanumeric() || *next == '_' || *next == '$')
                {
                    text.push(next);
                }
                tokens.push(Token::Word(text));
            }
            mark => tokens.push(Token::Mark(mark)),
        }
    }
    tokens
}

fn words(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Word(word) => {
                if text.ends_with(|last: char| last.is_alphanumeric() || last == ',') {
                    text.push(' ');
                }
                text.push_str(word);
            }
            Token::Quoted(name) => text.push_str(&quoted_name(name)),
            Token::Mark('(') => text.push_str(" ("),
            Token::Mark(mark) => text.push(*mark),
        }
    }
    text
}

/// The name of the operating system's user with this id.
fn user_named(passwd: &str, id: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

/// The operating system's user that runs this program; its number where it has no name.
#[must_use]
pub fn own_user() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(own) = std::fs::metadata("/proc/self") else {
        return "magewarden".to_owned();
    };
    let passwd = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    user_named(&passwd, own.uid()).unwrap_or_else(|| own.uid().to_string())
}

#[cfg(test)]
mod tests {
    use super::{READ, excess, statements, statements_for_log, user_named};
    use crate::database::{Account, Make, Server};
    use std::path::PathBuf;

    fn account(password_file: Option<&str>) -> Account {
        Account {
            user: "magewarden".to_owned(),
            password_file: password_file.map(PathBuf::from),
            ca_file: None,
        }
    }

    #[test]
    fn no_grant_covers_card_data_a_secret_or_a_whole_table() {
        // Parts of names of columns that hold card data, authentication data, secrets or a person's data.
        const NEVER: [&str; 22] = [
            "cc_",
            "card",
            "number",
            "owner",
            "exp",
            "cid",
            "additional",
            "details",
            "token",
            "hash",
            "secret",
            "key",
            "password",
            "email",
            "name",
            "street",
            "phone",
            "value",
            "echeck",
            "po_",
            "trans_id",
            "debug",
        ];
        for (table, columns) in READ {
            assert!(!columns.is_empty(), "{table} would be granted whole");
            for column in columns {
                assert!(
                    NEVER.iter().all(|part| !column.contains(part)),
                    "{table}.{column} may hold what must not be read"
                );
                // A payment table tells its size alone: by its primary key.
                if table.contains("payment") {
                    assert!(
                        ["entity_id", "payment_id"].contains(column),
                        "{table}.{column}"
                    );
                }
            }
        }
        let made = statements(&account(None), &Server::new("/s"), None, "", "shop", "");
        for line in made.create.iter().skip(1) {
            assert!(line.starts_with("GRANT SELECT (`"), "{line}");
            assert!(!line.contains(".*") && !line.contains("ALL"), "{line}");
        }
    }

    #[test]
    fn what_is_printed_is_what_is_accepted() {
        for prefix in ["", "mg_"] {
            let made = statements(
                &account(None),
                &Server::new("/s"),
                None,
                "",
                "my`shop",
                prefix,
            );
            let mut lines: Vec<String> = made
                .create
                .iter()
                .skip(1)
                .chain(made.further.values().flatten())
                .cloned()
                .collect();
            lines.push(
                "GRANT USAGE ON *.* TO `magewarden`@`localhost` IDENTIFIED BY PASSWORD '*AB'"
                    .to_owned(),
            );
            assert_eq!(excess(&lines, "my`shop", prefix), [""; 0]);
            // All but the right to log in and the server's own sums are of this schema.
            assert_eq!(excess(&lines, "other", prefix).len(), lines.len() - 2);
        }
    }

    #[test]
    fn an_account_that_may_read_more_is_refused() {
        #[track_caller]
        fn check(line: &str, expected: &str) {
            assert_eq!(excess(&[line.to_owned()], "shop", ""), [expected]);
        }
        check(
            "GRANT ALL PRIVILEGES ON `shop`.* TO `a`@`b`",
            "ALL PRIVILEGES on `shop`.*",
        );
        check(
            "GRANT SELECT, FILE ON *.* TO `a`@`b` IDENTIFIED BY PASSWORD '*HASH'",
            "SELECT, FILE on *.*",
        );
        check(
            "GRANT SELECT ON `performance_schema`.* TO `a`@`b`",
            "SELECT on `performance_schema`.*",
        );
        check("GRANT PROCESS ON *.* TO `a`@`b`", "PROCESS on *.*");
        check("GRANT `reader` TO `a`@`b`", "the role `reader`");
        check(
            "GRANT SELECT ON `shop`.`sales_order_payment` TO `a`@`b`",
            "SELECT on `shop`.`sales_order_payment`",
        );
        check(
            "GRANT SELECT (`entity_id`, `cc_number_enc`) ON `shop`.`sales_order_payment` TO `a`@`b`",
            "SELECT (`entity_id`,`cc_number_enc`) on `shop`.`sales_order_payment`",
        );
        check(
            "GRANT SELECT (`entity_id`), UPDATE (`entity_id`) ON `shop`.`sales_order_payment` TO `a`@`b`",
            "SELECT (`entity_id`), UPDATE (`entity_id`) on `shop`.`sales_order_payment`",
        );
        check(
            "GRANT SELECT (`code`) ON `shop`.`store` TO `a`@`b` WITH GRANT OPTION",
            "SELECT (`code`) on `shop`.`store` with the right to grant it on",
        );
        check(
            "GRANT SELECT (`code`) ON `shop`.`core_config_data` TO `a`@`b`",
            "SELECT (`code`) on `shop`.`core_config_data`",
        );
        check(
            "GRANT SELECT (`username`, `password`) ON `shop`.`admin_user` TO `a`@`b`",
            "SELECT (`username`,`password`) on `shop`.`admin_user`",
        );
        check("nonsense", "a right that can't be read");
        // The hash behind the account is part of no word.
        check(
            "GRANT SUPER ON *.* TO `a`@`b` IDENTIFIED BY PASSWORD '*HASH' WITH GRANT OPTION",
            "SUPER on *.* with the right to grant it on",
        );
    }

    #[test]
    fn the_account_fits_server_and_way_of_login() {
        #[track_caller]
        fn check(file: Option<&str>, host: &str, make: Make, expected: &str) {
            let made = statements(
                &account(file),
                &Server::new(host),
                Some(make),
                "10.0.0.9",
                "shop",
                "",
            );
            assert_eq!(made.create.first().map(String::as_str), Some(expected));
        }
        check(
            None,
            "/s",
            Make::MariaDb,
            "CREATE USER 'magewarden'@'localhost' IDENTIFIED VIA unix_socket;",
        );
        check(
            None,
            "/s",
            Make::MySql,
            "CREATE USER 'magewarden'@'localhost' IDENTIFIED WITH auth_socket;",
        );
        check(
            None,
            "127.0.0.1",
            Make::MariaDb,
            "CREATE USER 'magewarden'@'10.0.0.9' IDENTIFIED BY 'A PASSWORD FOR --database-password-file';",
        );
        check(
            Some("/etc/p"),
            "db1",
            Make::MariaDb,
            "CREATE USER 'magewarden'@'10.0.0.9' IDENTIFIED BY 'THE PASSWORD IN /etc/p' REQUIRE SSL;",
        );
    }

    #[test]
    fn an_account_for_the_log_may_read_it_and_nothing_else() {
        let made = statements_for_log(&account(Some("/etc/p")), &Server::new("/s"), "");
        let expected = [
            "CREATE USER 'magewarden'@'localhost' IDENTIFIED BY 'THE PASSWORD IN /etc/p';",
            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'magewarden'@'localhost';",
            "-- Undo: DROP USER 'magewarden'@'localhost';",
        ];
        assert_eq!(made, expected);
    }

    #[test]
    fn finds_a_users_name_by_its_number() {
        let passwd = "root:x:0:0::/r:/bin/sh\nwarden:x:998:998::/:/bin/false\n";
        assert_eq!(user_named(passwd, 998).as_deref(), Some("warden"));
        assert_eq!(user_named(passwd, 5), None);
    }
}
