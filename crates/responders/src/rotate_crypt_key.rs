//! Adds a new encryption key to `app/etc/env.php`: what is encrypted and signed from now on goes by it, what was stays as it is.
//!
//! `crypt/key` is a list parted by white space: the last is used, those before it open what they closed
//! (`Magento\Framework\Encryption\Encryptor`). `bin/magento encryption:key:change` does the same, where there is one (2.4.8, 2.4.7-p2, 2.4.6-p7,
//! 2.4.5-p9, 2.4.4-p10); it isn't run, for whoever changed the shop may have changed it. Invariant: no key and no value leaves this file but to
//! env.php and to what is kept for the undo.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{ActionFacts, Arguments, ForensicImpact, Layer, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, keep, read_kept};
use crate::config_files::Php;
use crate::database::{Database, quote};
use crate::env_file::{Edit, EnvFile, Is, quoted};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "rotate_crypt_key",
    about: "Adds a new encryption key to env.php, which is used from then on; what the old ones encrypted stays as it is",
    parameters: &[],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Danger,
    layer: Layer::Application,
    reach: Reach::Installation,
    acts_on_cause: true,
    closes: false,
    stays_open: "releases before 2.4.8, 2.4.7-p2, 2.4.6-p7, 2.4.5-p9 and 2.4.4-p10 take tokens signed with any key of the list, and the old key \
        stays in it: update first; what was encrypted with the old key is read by whoever has it and the data, so secrets are \
        changed where they are known; sessions that run go on; passwords that were read; a key that an environment variable of PHP sets wins; other hosts \
        have an env.php of their own, which has to be the same. PHP with opcache.validate_timestamps=0 goes by the old key until php-fpm is reloaded",
};

/// Where Magento's own code encrypts: table and column. Extensions have others.
const PLACES: [(&str, &str); 7] = [
    ("core_config_data", "value"),
    ("oauth_consumer", "secret"),
    ("oauth_token", "secret"),
    ("paypal_cert", "content"),
    ("quote_payment", "cc_number_enc"),
    ("sales_order_payment", "cc_number_enc"),
    ("tfa_user_config", "encoded_config"),
];
/// What such a value looks like: number of the key, of the cipher, perhaps an initial vector, base64.
const ENCRYPTED: &str = "^[0-9]{1,4}:[0-3]:([^:]*:)?[A-Za-z0-9+/]{8,}=*$";
/// Before a key that is 32 bytes in base64 (`ConfigOptionsListConstants::STORE_KEY_ENCODED_RANDOM_STRING_PREFIX`).
const PREFIX: &str = "base64";
/// Length of a key that isn't: what the cipher of a release that doesn't know the prefix takes.
const PLAIN_CHARS: usize = 32;
/// First patch level of each line whose newest key alone signs.
const PATCHED: [(u32, u32); 4] = [(7, 2), (6, 7), (5, 9), (4, 10)];
/// Largest composer.lock that is looked into, in bytes.
const LOCK_BYTES_MAX: u64 = 32 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    edit: Edit,
    /// The new key's number.
    number: usize,
    /// Places that could be counted: these have to be free of the new key before an undo.
    counted: Vec<(String, String)>,
}

/// `rotate_crypt_key`.
pub(crate) struct RotateCryptKey;

impl Action for RotateCryptKey {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, _arguments: &Arguments) -> Result<Survey, ActionError> {
        let file = EnvFile::read(host)?;
        let Some(Php::Text(list)) = file.value(&["crypt", "key"])? else {
            return Err(ActionError::refused(
                "env.php has no crypt/key in plain words: whatever sets the key is changed by hand",
            ));
        };
        let keys: Vec<_> = list.split_ascii_whitespace().collect();
        let Some(last) = keys.last() else {
            return Err(ActionError::refused("crypt/key of env.php is empty"));
        };
        let key = new_key(last.starts_with(PREFIX))?;
        let new = quoted(&format!("{}\n{key}", list.trim_end()));
        let number = keys.len();
        let mut changes = vec![
            Change {
                what: "encryption keys in app/etc/env.php".to_owned(),
                now: format!("{number}, the last is used"),
                then: format!(
                    "one more, number {number} counted from 0, is used; the others stay to open what they closed"
                ),
            },
            tokens(&host.magento()?.root),
        ];
        let mut database = Database::open(host)?;
        let mut counted = Vec::new();
        for (table, column) in PLACES {
            match count(&mut database, table, column) {
                Ok(counts) => {
                    // A key that isn't in the list: the values of a dump of another shop, or a list that was cut.
                    let of =
                        |(number, count): &(String, String)| format!("{count} with key {number}");
                    let now: Vec<_> = counts.iter().map(of).collect();
                    if !now.is_empty() {
                        changes.push(Change {
                            what: format!("values in {table}.{column}"),
                            now: now.join(", "),
                            then: "the same".to_owned(),
                        });
                    }
                    counted.push((table.to_owned(), column.to_owned()));
                }
                Err(error) => changes.push(Change {
                    what: format!("values in {table}.{column}"),
                    now: format!("not known: {error}"),
                    then: "the same".to_owned(),
                }),
            }
        }
        let edit = file.edit(&["crypt"], "key", new)?;
        Ok(Survey {
            changes,
            kept: keep(&Kept {
                edit,
                number,
                counted,
            })?,
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        EnvFile::read(host)?.act(host, &kept.edit)
    }

    fn read_back(
        &self,
        host: &Host,
        _arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Kept = read_kept(kept)?;
        Ok(match EnvFile::read(host)?.is(&kept.edit) {
            Is::After => Effect::InEffect,
            Is::Before => Effect::NotInEffect,
            Is::Other => Effect::Partly("crypt/key of env.php is another list".to_owned()),
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let file = EnvFile::read(host)?;
        if file.is(&kept.edit) == Is::After {
            let mut database = Database::open(host)?;
            let number = kept.number.to_string();
            for (table, column) in PLACES {
                let is_counted = |(one, other): &(String, String)| one == table && other == column;
                if !kept.counted.iter().any(is_counted) {
                    continue;
                }
                let counts = count(&mut database, table, column)?;
                if let Some((_, count)) = counts.iter().find(|(key, _)| *key == number) {
                    return Err(ActionError::refused(format!(
                        "{count} values of {table}.{column} were encrypted with the new key meanwhile: without it nobody reads them. Save them anew once the old key is back, or keep the new one"
                    )));
                }
            }
        }
        file.undo(host, &kept.edit)
    }
}

/// How many values of a column each key encrypted, by the key's number.
fn count(
    database: &mut Database<'_>,
    table: &str,
    column: &str,
) -> Result<Vec<(String, String)>, ActionError> {
    let (from, column) = (database.table(table), quote::name(column));
    let asked = format!(
        "SELECT CAST(SUBSTRING_INDEX({column}, ':', 1) AS CHAR) AS number, CAST(COUNT({column}) AS CHAR) FROM {from} \
         WHERE {column} REGEXP ? GROUP BY number ORDER BY number"
    );
    let rows = database.rows(
        &format!("count values of {table}"),
        &asked,
        &[Some(ENCRYPTED.to_owned())],
    )?;
    let pair = |row: Vec<Option<String>>| {
        let mut cells = row.into_iter().flatten();
        cells.next().zip(cells.next())
    };
    Ok(rows.into_iter().filter_map(pair).collect())
}

/// A key as this release takes it.
fn new_key(is_prefixed: bool) -> Result<String, ActionError> {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let path = Path::new("/dev/urandom");
    let mut source = File::open(path).map_err(ActionError::file("read", path))?;
    let mut random = || -> Result<[u8; 32], ActionError> {
        let mut bytes = [0; 32];
        source
            .read_exact(&mut bytes)
            .map_err(ActionError::file("read", path))?;
        Ok(bytes)
    };
    if is_prefixed {
        return Ok(format!("{PREFIX}{}", STANDARD.encode(random()?)));
    }
    let mut key = String::new();
    while key.len() < PLAIN_CHARS {
        // 4 * 62: each letter is as likely as any other.
        let fair = random()?.into_iter().filter(|byte| *byte < 248);
        let letters = fair.filter_map(|byte| LETTERS.get(usize::from(byte) % LETTERS.len()));
        key.extend(letters.map(|letter| char::from(*letter)));
        key.truncate(PLAIN_CHARS);
        if key.starts_with(PREFIX) {
            key.clear();
        }
    }
    Ok(key)
}

/// What becomes of tokens that were signed with an older key.
fn tokens(root: &Path) -> Change {
    let change = |now: &str, then: &str| Change {
        what: "tokens signed with a key of the list".to_owned(),
        now: now.to_owned(),
        then: then.to_owned(),
    };
    let version = version(root);
    match version
        .as_deref()
        .map(|version| (version, takes_old(version)))
    {
        Some((version, Some(false))) => change(
            &format!("taken if by the last one (Magento {version}, by composer.lock)"),
            "those of before are refused",
        ),
        Some((version, Some(true))) => change(
            &format!("taken by any of them (Magento {version}, by composer.lock)"),
            "still taken, forged ones too: update Magento",
        ),
        _ => change(
            "not known: composer.lock names no version of Magento",
            "refused since 2.4.8, 2.4.7-p2, 2.4.6-p7, 2.4.5-p9 and 2.4.4-p10, else still taken",
        ),
    }
}

/// Magento's version as its lock file has it.
fn version(root: &Path) -> Option<String> {
    #[derive(Deserialize)]
    struct Lock {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let mut text = Vec::new();
    let file = File::open(root.join("composer.lock")).ok()?;
    file.take(LOCK_BYTES_MAX).read_to_end(&mut text).ok()?;
    let lock: Lock = serde_json::from_slice(&text).ok()?;
    let names = [
        "magento/product-community-edition",
        "magento/product-enterprise-edition",
    ];
    let mut packages = lock.packages.into_iter();
    let version = packages.find(|package| names.contains(&package.name.as_str()))?;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let version = version.version;
    (version.len() <= 20 && version.bytes().all(is_fine)).then_some(version)
}

/// Whether a release takes tokens signed with any key of the list; none when that isn't known.
fn takes_old(version: &str) -> Option<bool> {
    let (release, patch) = version.split_once("-p").unwrap_or((version, "0"));
    let patch: u32 = patch.parse().ok()?;
    let parts: Vec<u32> = release
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let [2, 4, line] = parts.as_slice() else {
        return None;
    };
    // Before 2.4.4 administrators' tokens were rows, and no key signed any.
    let known = PATCHED.iter().find(|(one, _)| one == line);
    match known {
        Some((_, first)) => Some(patch < *first),
        None if *line >= 8 => Some(false),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{new_key, takes_old, version};
    use std::collections::BTreeSet;

    #[test]
    fn the_newest_key_alone_signs_since_a_patch_of_each_line() {
        for (version, expected) in [
            ("2.4.8", Some(false)),
            ("2.4.8-p1", Some(false)),
            ("2.4.9", Some(false)),
            ("2.4.7", Some(true)),
            ("2.4.7-p1", Some(true)),
            ("2.4.7-p2", Some(false)),
            ("2.4.6-p6", Some(true)),
            ("2.4.6-p10", Some(false)),
            ("2.4.5-p9", Some(false)),
            ("2.4.4-p9", Some(true)),
            ("2.4.4-p10", Some(false)),
            ("2.4.3-p3", None),
            ("2.4.8-beta1", None),
            ("3.0.0", None),
            ("dev-main", None),
            ("", None),
        ] {
            assert_eq!(takes_old(version), expected, "{version}");
        }
    }

    #[test]
    fn a_version_is_read_from_a_lock_file_or_not_known() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(version(folder.path()), None);
        let told = |text: &str| {
            std::fs::write(folder.path().join("composer.lock"), text).expect("written");
            version(folder.path())
        };
        let lock = r#"{"packages": [{"name": "a/b", "version": "1.0"}, {"name": "magento/product-community-edition", "version": "2.4.7-p2"}]}"#;
        assert_eq!(told(lock).as_deref(), Some("2.4.7-p2"));
        assert_eq!(told(&lock.replace("p2", "\\u001b[31m")), None);
        assert_eq!(told("[1"), None);
        assert_eq!(told(r#"{"packages": []}"#), None);
    }

    #[test]
    fn keys_have_their_release_s_form_and_are_new() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let plain = new_key(false).expect("a key");
            assert!(plain.len() == 32 && plain.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let prefixed = new_key(true).expect("a key");
            let bytes = prefixed.strip_prefix("base64").expect("the prefix");
            assert_eq!(bytes.len(), 44);
            assert!(seen.insert(plain) && seen.insert(prefixed));
        }
    }
}
