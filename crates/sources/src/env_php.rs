//! A reader of Magento's `app/etc/env.php` that takes what is harmless and never a secret.
//!
//! The file is a PHP array literal. The reader walks its tokens once and copies a value only when
//! its path is on the list in `take`: the values of the crypt key, of passwords and of tokens are
//! passed over byte by byte. Code (calls, constants, concatenation) is not run: such a value is not taken.
//! Time is linear in the file, memory is that of its keys down to `DEPTH_MAX`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::SourceError;

/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Deepest array whose values are taken; deeper ones are passed over.
const DEPTH_MAX: usize = 16;
/// Longest value or key taken, in bytes.
const VALUE_BYTES_MAX: usize = 1024;
/// Names taken of one kind, e.g. connections.
const NAMES_MAX: usize = 64;

/// What is taken from `env.php`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShopConfig {
    /// `db/table_prefix`.
    pub table_prefix: String,
    /// Database connections: name → host.
    pub database_hosts: BTreeMap<String, String>,
    /// Database connections: name → schema.
    pub database_names: BTreeMap<String, String>,
    /// Database connections: name → account, without its password.
    pub database_users: BTreeMap<String, String>,
    /// `session/save`.
    pub session_save: String,
    /// Session stores: kind (`redis`, `valkey`) → host.
    pub session_hosts: BTreeMap<String, String>,
    /// Cache front ends: name → backend class.
    pub cache_backends: BTreeMap<String, String>,
    /// Cache front ends: name → server.
    pub cache_hosts: BTreeMap<String, String>,
    /// Queue backends: kind (`amqp`, `stomp`) → host; an empty host when it names none.
    pub queue_hosts: BTreeMap<String, String>,
    /// `backend/frontName`.
    pub backend_front_name: String,
    /// `MAGE_MODE`.
    pub mode: String,
    /// `x-frame-options`.
    pub frame_options: String,
    /// `install/date`, as written.
    pub install_date: String,
    /// `directories/document_root_is_pub`: whether the web server's root is `pub`; `None` when not said.
    pub document_root_is_pub: Option<bool>,
    /// `db_logger/output`: `file` when Magento logs its own statements.
    pub query_log: String,
    /// Whether the logger was replaced (`log/type` or `log/args`): then the logs may lie elsewhere.
    pub logger_replaced: bool,
}

/// Reads the file.
///
/// # Errors
///
/// [`SourceError`] when it can't be read or is larger than 4 MiB.
pub fn read(path: &Path) -> Result<ShopConfig, SourceError> {
    let file = File::open(path).map_err(SourceError::io(path))?;
    // Whole at once: a buffer that grows would leave copies of secrets behind.
    let mut bytes = Vec::with_capacity(usize::try_from(FILE_BYTES_MAX + 2).unwrap_or(0));
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(SourceError::io(path))?;
    let config = (bytes.len() as u64 <= FILE_BYTES_MAX).then(|| parse(&bytes));
    // The buffer held secrets: it doesn't go back to the allocator with them.
    bytes.fill(0);
    std::hint::black_box(&bytes);
    config.ok_or_else(|| SourceError::TooLarge {
        path: path.to_owned(),
        limit_bytes: FILE_BYTES_MAX,
    })
}

/// Where a token's text lies.
type Span = (usize, usize);

/// What stands where a value can stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// A string, by the bytes between its quotes.
    Text(Span),
    /// A bare word or number.
    Word(Span),
    /// More than one token: code.
    Code,
}

impl Seen {
    fn and(self, next: Self) -> Self {
        if self == Self::Nothing {
            next
        } else {
            Self::Code
        }
    }

    fn span(self) -> Option<Span> {
        match self {
            Self::Text(span) | Self::Word(span) => Some(span),
            Self::Nothing | Self::Code => None,
        }
    }
}

/// Reading, as far as it is.
struct Walk<'a> {
    bytes: &'a [u8],
    config: ShopConfig,
    /// Keys down to the array being read; without those deeper than [`DEPTH_MAX`].
    path: Vec<String>,
    depth: usize,
    key: Option<Span>,
    seen: Seen,
}

/// Takes the listed values from the bytes of a file.
#[must_use]
pub fn parse(bytes: &[u8]) -> ShopConfig {
    let mut walk = Walk {
        bytes,
        config: ShopConfig::default(),
        path: Vec::new(),
        depth: 0,
        key: None,
        seen: Seen::Nothing,
    };
    let mut at = 0;
    while at < bytes.len() {
        at = walk.token(at).max(at + 1);
    }
    walk.config
}

impl Walk<'_> {
    /// Reads the token at `at`; gives where the next begins.
    fn token(&mut self, at: usize) -> usize {
        let byte = |ahead: usize| self.bytes.get(at + ahead).copied().unwrap_or(0);
        match byte(0) {
            b'\'' | b'"' => {
                let end = string_end(self.bytes, at);
                self.seen = self.seen.and(Seen::Text((at + 1, end)));
                return end + 1;
            }
            b'=' if byte(1) == b'>' => {
                self.key = self.seen.span();
                self.seen = Seen::Nothing;
                return at + 2;
            }
            b'[' | b'(' => self.open(),
            b',' => self.end_value(),
            b']' | b')' => self.close(),
            // A value begins behind `;` and `=` outside of arrays.
            b';' | b'=' if self.depth == 0 => self.seen = Seen::Nothing,
            b'#' if byte(1) != b'[' => return line_end(self.bytes, at),
            b'/' if byte(1) == b'/' => return line_end(self.bytes, at),
            b'/' if byte(1) == b'*' => {
                return find(self.bytes, at + 2, b"*/").map_or(self.bytes.len(), |end| end + 2);
            }
            b'<' if byte(1) == b'<' && byte(2) == b'<' => {
                self.seen = Seen::Code;
                return heredoc_end(self.bytes, at + 3);
            }
            letter if is_word(letter) => {
                let rest = self.bytes.get(at..).unwrap_or_default();
                let end = at
                    + rest
                        .iter()
                        .position(|byte| !is_word(*byte))
                        .unwrap_or(rest.len());
                let begins = self.depth == 0 && rest.starts_with(b"return");
                self.seen = if begins {
                    Seen::Nothing
                } else {
                    self.seen.and(Seen::Word((at, end)))
                };
                return end;
            }
            letter if letter.is_ascii_whitespace() => {}
            _ => self.seen = Seen::Code,
        }
        at + 1
    }

    fn open(&mut self) {
        let array = match self.seen {
            Seen::Nothing => true,
            Seen::Word((from, to)) => {
                let word = self.bytes.get(from..to).unwrap_or_default();
                word.eq_ignore_ascii_case(b"array")
            }
            Seen::Text(_) | Seen::Code => false,
        };
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            let name = self
                .key
                .map(|span| copy(self.bytes, span))
                .unwrap_or_default();
            // What is inside a call is no part of the settings; no listed path holds this name.
            self.path.push(if array { name } else { "()".to_owned() });
        }
        (self.key, self.seen) = (None, Seen::Nothing);
    }

    fn end_value(&mut self) {
        if let (Some(key), Some(value)) = (self.key.take(), self.seen.span())
            && self.depth <= DEPTH_MAX
            && key.1 - key.0 <= VALUE_BYTES_MAX
            && value.1 - value.0 <= VALUE_BYTES_MAX
        {
            self.path.push(copy(self.bytes, key));
            take(&mut self.config, &self.path, || copy(self.bytes, value));
            self.path.pop();
        }
        self.seen = Seen::Nothing;
    }

    fn close(&mut self) {
        self.end_value();
        if self.depth <= DEPTH_MAX {
            self.path.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        // What was closed stands as one value that isn't taken: `env('X') . 'y'`.
        self.seen = Seen::Code;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    bytes
        .get(from..)?
        .windows(what.len())
        .position(|window| window == what)
        .map(|at| from + at)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, b"\n").unwrap_or(bytes.len())
}

/// Place of a string's closing quote.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let quote = bytes.get(open).copied().unwrap_or(b'\'');
    let mut at = open + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            byte if *byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Behind a heredoc or nowdoc: the first line whose first word is its label.
fn heredoc_end(bytes: &[u8], at: usize) -> usize {
    let first = line_end(bytes, at);
    let label = bytes.get(at..first).unwrap_or_default().trim_ascii();
    let label = label
        .strip_prefix(b"'")
        .or(label.strip_prefix(b"\""))
        .unwrap_or(label);
    let label = label
        .strip_suffix(b"'")
        .or(label.strip_suffix(b"\""))
        .unwrap_or(label);
    let mut start = first + 1;
    while start < bytes.len() && !label.is_empty() {
        let end = line_end(bytes, start);
        let line = bytes.get(start..end).unwrap_or_default();
        let indent = line.len() - line.trim_ascii_start().len();
        let rest = line.get(indent..).unwrap_or_default();
        if rest
            .strip_prefix(label)
            .is_some_and(|rest| !rest.first().copied().is_some_and(is_word))
        {
            return start + indent + label.len();
        }
        start = end + 1;
    }
    bytes.len()
}

/// Copies a string's text; `\\` and escaped quotes as PHP reads them between single quotes.
fn copy(bytes: &[u8], (from, to): Span) -> String {
    let text = bytes
        .get(from..to.min(from + VALUE_BYTES_MAX))
        .unwrap_or_default();
    String::from_utf8_lossy(text)
        .replace("\\\\", "\\")
        .replace("\\'", "'")
}

/// Copies a value when its path is one that holds no secret.
fn take(config: &mut ShopConfig, path: &[String], value: impl FnOnce() -> String) {
    // The outermost array has no name; `return (` adds another.
    let path: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .skip_while(|name| name.is_empty())
        .collect();
    let name = |map: &mut BTreeMap<String, String>, name: &str, value: String| {
        if map.len() < NAMES_MAX {
            map.insert(name.to_owned(), value);
        }
    };
    match path.as_slice() {
        ["db", "table_prefix"] => config.table_prefix = value(),
        ["db", "connection", of, "host"] => name(&mut config.database_hosts, of, value()),
        ["db", "connection", of, "dbname"] => name(&mut config.database_names, of, value()),
        ["db", "connection", of, "username"] => name(&mut config.database_users, of, value()),
        ["session", "save"] => config.session_save = value(),
        ["session", of, "host"] => name(&mut config.session_hosts, of, value()),
        ["cache", "frontend", of, "backend"] => name(&mut config.cache_backends, of, value()),
        [
            "cache",
            "frontend",
            of,
            "backend_options",
            "server" | "host",
        ] => name(&mut config.cache_hosts, of, value()),
        ["queue", of, "host"] => name(&mut config.queue_hosts, of, value()),
        ["backend", "frontName"] => config.backend_front_name = value(),
        ["MAGE_MODE"] => config.mode = value(),
        ["x-frame-options"] => config.frame_options = value(),
        ["install", "date"] => config.install_date = value(),
        ["directories", "document_root_is_pub"] => {
            let text = value();
            config.document_root_is_pub = Some(text.eq_ignore_ascii_case("true") || text == "1");
        }
        ["db_logger", "output"] => config.query_log = value(),
        ["log", ..] => config.logger_replaced = true,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{ShopConfig, parse, read};
    use std::collections::BTreeMap;

    const FILE: &str = r"<?php
return [
    'backend' => ['frontName' => 'admin_x'],
    'crypt' => ['key' => 'SECRETcryptkey'], // 'note' => 'SECRETcomment'
    # 'MAGE_MODE' => 'SECRETcomment',
    /* 'db' => ['table_prefix' => 'SECRETcomment'] */
    'remote_storage' => ['driver' => 'aws-s3', 'config' => ['key' => 'SECRETs3', 'secret' => 'SECRETs3']],
    'db' => [
        'table_prefix' => 'mg_',
        'connection' => [
            'default' => array('host' => '10.0.0.5', 'dbname' => 'shop', 'username' => 'shop_rw', 'password' => 'SECRET\'pass, \'host\' => \'SECRET', 'active' => '1', 'driver_options' => [1014 => false]),
            'indexer' => array('host' => getenv('SECRETenv') ?: 'SECRETdefault', 'password' => env('X', 'SECRET')),
        ],
    ],
    'queue' => ['amqp' => ['host' => 'mq.internal', 'port' => '5672', 'user' => 'mq', 'password' => 'SECRETmq']],
    'cache' => ['frontend' => ['default' => ['backend' => 'Magento\\Framework\\Cache\\Backend\\Redis', 'backend_options' => ['server' => '10.0.0.6', 'password' => 'SECRETredis']]]],
    'session' => ['save' => 'redis', 'redis' => ['host' => '10.0.0.7', 'password' => <<<'END'
SECRET'session
  END, 'host2' => 'x']],
    'MAGE_MODE' => 'production',
    'x-frame-options' => 'SAMEORIGIN',
    'install' => ['date' => 'Mon, 05 Jan 2026 10:00:00 +0000'],
    'directories' => ['document_root_is_pub' => true],
    'db_logger' => ['output' => 'file'],
    'oauth_token' => 'SECRETtoken',
    'system' => ['default' => ['payment' => ['x' => ['api_secret' => 'SECRETgateway']]]],
];
";

    #[test]
    fn takes_what_is_listed_and_no_secret() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let config = parse(FILE.as_bytes());
        assert!(!format!("{config:?}").contains("SECRET"), "{config:?}");
        let expected = ShopConfig {
            table_prefix: "mg_".to_owned(),
            database_hosts: one("default", "10.0.0.5"),
            database_names: one("default", "shop"),
            database_users: one("default", "shop_rw"),
            session_save: "redis".to_owned(),
            session_hosts: one("redis", "10.0.0.7"),
            cache_backends: one("default", r"Magento\Framework\Cache\Backend\Redis"),
            cache_hosts: one("default", "10.0.0.6"),
            queue_hosts: one("amqp", "mq.internal"),
            backend_front_name: "admin_x".to_owned(),
            mode: "production".to_owned(),
            frame_options: "SAMEORIGIN".to_owned(),
            install_date: "Mon, 05 Jan 2026 10:00:00 +0000".to_owned(),
            document_root_is_pub: Some(true),
            query_log: "file".to_owned(),
            logger_replaced: false,
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn a_secret_is_not_taken_from_where_code_stands() {
        for line in [
            "'MAGE_MODE' => getenv('SECRET')",
            "'MAGE_MODE' => 'a' . 'SECRET'",
            "'MAGE_MODE' => $x['SECRET']",
            "'MAGE_MODE' => f(['MAGE_MODE' => 'SECRET'])",
            "'MAGE_MODE' => <<<E\nSECRET\nE",
        ] {
            let config =
                parse(format!("<?php return [{line}, 'x-frame-options' => 'DENY'];").as_bytes());
            assert_eq!(
                config,
                ShopConfig {
                    frame_options: "DENY".to_owned(),
                    ..ShopConfig::default()
                },
                "{line}"
            );
        }
    }

    #[test]
    fn reads_a_file_and_refuses_a_huge_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("env.php");
        std::fs::write(&path, FILE).expect("written");
        assert_eq!(read(&path).expect("read"), parse(FILE.as_bytes()));
        std::fs::write(&path, vec![b' '; (4 << 20) + 1]).expect("written");
        assert_eq!(
            read(&path).expect_err("too large").to_string(),
            format!("{} is larger than 4194304 bytes", path.display())
        );
    }

    #[test]
    fn no_bytes_make_it_panic_or_slow() {
        for length in 0..FILE.len() {
            let _config = parse(&FILE.as_bytes()[..length]);
            let _config = parse(&FILE.as_bytes()[length..]);
        }
        for part in ["[", "'a'=>[", "]", "'a'=>'b',", "<<<A\n", "/*", "'", "('"] {
            let _config = parse(part.repeat(200_000).as_bytes());
        }
    }
}
