//! A reader of Magento's `app/etc/env.php` that takes what is harmless and never a secret.
//!
//! The file is a PHP array literal. The reader walks its tokens once and copies a value only when
//! its path is on the list below: the values of the crypt key, of passwords and of tokens are skipped byte by byte.

use std::collections::BTreeMap;
use std::path::Path;

use crate::SourceError;

/// Largest file read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// What is taken from `env.php`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShopConfig {
    /// `db/table_prefix`.
    pub table_prefix: String,
    /// Database connections: name → host.
    pub database_hosts: BTreeMap<String, String>,
    /// Database connections: name → schema.
    pub database_names: BTreeMap<String, String>,
    /// `session/save`.
    pub session_save: String,
    /// Cache front ends: name → backend class.
    pub cache_backends: BTreeMap<String, String>,
    /// `backend/frontName`.
    pub backend_front_name: String,
    /// `MAGE_MODE`.
    pub mode: String,
}

/// Reads the file.
///
/// # Errors
///
/// [`SourceError`] when it can't be read or is larger than 4 MiB.
pub fn read(path: &Path) -> Result<ShopConfig, SourceError> {
    let facts = std::fs::metadata(path).map_err(SourceError::io(path))?;
    if facts.len() > FILE_BYTES_MAX {
        return Err(SourceError::TooLarge {
            path: path.to_owned(),
            limit_bytes: FILE_BYTES_MAX,
        });
    }
    let mut bytes = std::fs::read(path).map_err(SourceError::io(path))?;
    let config = parse(&bytes);
    // The buffer held secrets: it doesn't go back to the allocator with them.
    bytes.fill(0);
    std::hint::black_box(&bytes);
    Ok(config)
}

/// Takes the listed values from the bytes of a file.
#[must_use]
pub fn parse(bytes: &[u8]) -> ShopConfig {
    let mut config = ShopConfig::default();
    let mut path: Vec<String> = Vec::new();
    let mut key: Option<String> = None;
    let mut pending: Option<(usize, usize)> = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\'' | b'"' => {
                let end = string_end(bytes, at);
                pending = Some((at + 1, end));
                at = end;
            }
            b'=' if bytes.get(at + 1) == Some(&b'>') => {
                key = pending.take().map(|(from, to)| copy(bytes, from, to));
                at += 1;
            }
            b'[' | b'(' => {
                path.push(key.take().unwrap_or_default());
                pending = None;
            }
            b',' | b']' | b')' => {
                if let (Some(name), Some((from, to))) = (key.take(), pending.take()) {
                    path.push(name);
                    take(&mut config, &path, || copy(bytes, from, to));
                    path.pop();
                }
                if *byte != b',' {
                    path.pop();
                }
                pending = None;
            }
            b'#' => at = line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = bytes
                    .get(at + 2..)
                    .and_then(|rest| rest.windows(2).position(|pair| pair == b"*/"))
                    .map_or(bytes.len(), |end| at + end + 3);
            }
            _ => {}
        }
        at += 1;
    }
    config
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        .map_or(bytes.len(), |end| at + end)
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

fn copy(bytes: &[u8], from: usize, to: usize) -> String {
    String::from_utf8_lossy(bytes.get(from..to).unwrap_or_default()).replace("\\\\", "\\")
}

/// Copies a value when its path is one that holds no secret.
fn take(config: &mut ShopConfig, path: &[String], value: impl FnOnce() -> String) {
    // The outermost array has no name.
    let path: Vec<&str> = path
        .iter()
        .map(String::as_str)
        .skip_while(|name| name.is_empty())
        .collect();
    match path.as_slice() {
        ["db", "table_prefix"] => config.table_prefix = value(),
        ["db", "connection", name, "host"] => {
            drop(config.database_hosts.insert((*name).to_owned(), value()))
        }
        ["db", "connection", name, "dbname"] => {
            drop(config.database_names.insert((*name).to_owned(), value()))
        }
        ["session", "save"] => config.session_save = value(),
        ["cache", "frontend", name, "backend"] => {
            drop(config.cache_backends.insert((*name).to_owned(), value()))
        }
        ["backend", "frontName"] => config.backend_front_name = value(),
        ["MAGE_MODE"] => config.mode = value(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const FILE: &str = r"<?php
return [
    'backend' => ['frontName' => 'admin_x'],
    'crypt' => ['key' => 'SECRETcryptkey'], // 'note' => 'SECRETcomment'
    'db' => [
        'table_prefix' => 'mg_',
        'connection' => [
            'default' => array('host' => '10.0.0.5', 'dbname' => 'shop', 'username' => 'shop', 'password' => 'SECRET\'pass', 'active' => '1'),
        ],
    ],
    'cache' => ['frontend' => ['default' => ['backend' => 'Magento\\Framework\\Cache\\Backend\\Redis', 'backend_options' => ['password' => 'SECRETredis']]]],
    'session' => ['save' => 'redis', 'redis' => ['password' => 'SECRETsession']],
    'MAGE_MODE' => 'production',
];
";

    #[test]
    fn takes_what_is_listed_and_no_secret() {
        let config = parse(FILE.as_bytes());
        assert_eq!(config.table_prefix, "mg_");
        assert_eq!(
            config.database_hosts.get("default").map(String::as_str),
            Some("10.0.0.5")
        );
        assert_eq!(config.session_save, "redis");
        assert_eq!(config.backend_front_name, "admin_x");
        assert_eq!(config.mode, "production");
        assert!(!format!("{config:?}").contains("SECRET"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        for length in 0..FILE.len() {
            let _config = parse(&FILE.as_bytes()[..length]);
            let _config = parse(&FILE.as_bytes()[length..]);
        }
    }
}
