//! Follows the binary log of the shop's MariaDB or MySQL: who wrote a watched row, when, and by which statement.
//!
//! Apart from `shop_rows` because whoever may read the log may read every row: it logs in with an account of its own,
//! which can do nothing else, and reads no value but of columns that `shop_rows` may read. What it tells is sealed before the
//! place in the log is kept; a start goes on there, and what the ledger has by then isn't told twice.

mod bytes;
mod event;
mod log;
mod login;
mod place;
mod reading;
mod row;
mod server;
mod statement;
#[cfg(test)]
mod tests;
mod wire;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use model::{SourceId, Timestamp};
use serde::Deserialize;

use crate::database::Server;
use crate::source::{Given, Hand, Kind, News, Source};
use crate::{SourceError, env_php, private, settings};
use place::{Keeper, Known, Mark, Place};
use reading::{End, Reading};
use wire::{Connection, Login};

/// How often the server says that nothing happens.
const BEAT: Duration = Duration::from_secs(10);
/// Where a file's first event stands.
const FIRST: u64 = 4;

/// The kind `binlog`.
pub(crate) struct Binlog;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the server listens, as `env.php` writes a host; else that of `env.php`.
    server: Option<String>,
    /// An account of its own.
    user: String,
    /// File with its password, its owner's alone.
    password_file: PathBuf,
    /// A number that no other replica of the server has.
    server_id: u32,
    /// Certificate of the authority that signed the server's; needed for a server elsewhere.
    ca_file: Option<PathBuf>,
    /// The shop's schema and table prefix; else those of `env.php`.
    schema: Option<String>,
    prefix: Option<String>,
}

impl Kind for Binlog {
    fn name(&self) -> &'static str {
        "binlog"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: &str| SourceError::Settings {
            kind: "binlog",
            why: why.to_owned(),
        };
        let config = match &given.magento {
            Some(root) => env_php::read(&root.join("app/etc/env.php"))?,
            None => env_php::ShopConfig::default(),
        };
        let of_config = |named: Option<String>, found: Option<&String>| named.or(found.cloned());
        let server = of_config(settings.server, config.database_hosts.get("default"))
            .ok_or_else(|| wrong("server: where the database listens, or --magento"))?;
        let schema = of_config(settings.schema, config.database_names.get("default"))
            .ok_or_else(|| wrong("schema: the shop's, or --magento"))?;
        let server = Server::new(&server);
        if settings.server_id == 0 {
            return Err(wrong("server_id: a number that no other replica has"));
        }
        if !server.is_here() && settings.ca_file.is_none() {
            return Err(wrong(
                "ca_file: a server elsewhere is read over TLS, and this says whose word is taken",
            ));
        }
        if given
            .database
            .as_ref()
            .is_some_and(|access| access.account.user == settings.user)
        {
            return Err(wrong(
                "user: an account of its own; --database-user's must not be able to read the log",
            ));
        }
        let password = private::read(&settings.password_file)?;
        let id = SourceId(format!("binlog:{server}"));
        Ok(Box::new(Follow {
            password: password.trim_end_matches(['\n', '\r']).to_owned(),
            keeper: Keeper::new(&given.data, &id.0, given.key),
            sealed: given
                .resume
                .get(&id)
                .map(|(generation, end)| Mark::sealed(*generation, *end)),
            prefix: settings.prefix.unwrap_or(config.table_prefix),
            user: settings.user,
            ca_file: settings.ca_file,
            server_id: settings.server_id,
            missed: (0, String::new()),
            missed_at: None,
            clock: given.clock,
            server,
            schema,
            id,
        }))
    }
}

struct Follow {
    id: SourceId,
    server: Server,
    user: String,
    password: String,
    ca_file: Option<PathBuf>,
    server_id: u32,
    schema: String,
    prefix: String,
    keeper: Keeper,
    /// The last record that is sealed.
    sealed: Option<Mark>,
    /// Events and statements that went untold, why the last did, and when that was said.
    missed: (u64, String),
    missed_at: Option<Instant>,
    clock: fn() -> Timestamp,
}

impl Source for Follow {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let login = Login {
            server: &self.server,
            user: &self.user,
            password: &self.password,
            ca_file: self.ca_file.as_deref(),
        };
        let failed = |source| SourceError::Network {
            place: self.server.to_string(),
            source,
        };
        let mut connection = Connection::open(&login).map_err(failed)?;
        let state = server::ask(&mut connection, BEAT).map_err(failed)?;
        let place = self.begin(&state, hand)?;
        // Beyond four gigabytes of one file the protocol can't begin: it begins with the file, and skips.
        let (position, start) = match u32::try_from(place.position) {
            Ok(position) => (position, place.position),
            Err(_) => (4, FIRST),
        };
        connection
            .dump(
                &place.file,
                position,
                self.server_id,
                state.is_mariadb(&connection),
            )
            .map_err(failed)?;
        let what = format!(
            "reads the binary log of {} from {}:{start} on",
            self.server, place.file
        );
        let news = match state.complaints().as_slice() {
            [] => News::Well { what },
            complaints => News::Refused {
                why: format!("{what}; but {}", complaints.join("; ")),
            },
        };
        hand.tell(self.id.clone(), news);
        let place = Place {
            position: start,
            ..place
        };
        let mut reading = Reading::new(self, hand, place, state.has_checksums());
        match reading.all(&mut connection) {
            Ok(()) | Err(End::Stopped) => Ok(()),
            Err(End::Lost(source)) => Err(SourceError::Network {
                place: self.server.to_string(),
                source,
            }),
            Err(End::Failed(error)) => Err(*error),
        }
    }

    fn id(&self) -> SourceId {
        self.id.clone()
    }
}

impl Follow {
    /// Where to begin: where it was left, else at the log's end; and what is lost in between.
    fn begin(&self, state: &server::State, hand: &Hand) -> Result<Place, SourceError> {
        let failed = |why: &str| SourceError::Network {
            place: self.server.to_string(),
            source: std::io::Error::other(why.to_owned()),
        };
        let (oldest, newest) = state
            .ends()
            .ok_or_else(|| failed("it writes no binary log; start it with log_bin"))?;
        let now = (self.clock)().0.unsigned_abs();
        let known = self.keeper.load()?;
        let place = match (known, self.sealed) {
            (Known::Place(place), _) => place,
            // The ledger tells the file: what of it is sealed is skipped.
            (known, Some(sealed)) => {
                if matches!(known, Known::Changed) {
                    self.refused(hand, "the place kept in the data folder was changed by somebody else; the ledger's is taken");
                }
                let named = state
                    .files
                    .iter()
                    .find(|(name, _)| place::number(name) == sealed.file);
                Place {
                    file: named
                        .map_or_else(|| format!("?.{:06}", sealed.file), |(name, _)| name.clone()),
                    position: FIRST,
                    begun: 0,
                    server: state.server_id,
                    numbering: sealed.numbering,
                }
            }
            (known, None) => {
                if matches!(known, Known::Changed) {
                    self.lost(hand, "the place kept in the data folder was changed by somebody else, and the ledger has none");
                }
                let place = Place {
                    file: newest.0.clone(),
                    position: newest.1,
                    begun: 0,
                    server: state.server_id,
                    numbering: now,
                };
                self.keeper.save(&place)?;
                place
            }
        };
        let there = state.files.iter().find(|(name, _)| *name == place.file);
        let is_other = place.server != state.server_id;
        if !is_other && there.is_some_and(|(_, size)| place.position <= *size) {
            return Ok(place);
        }
        // Files that went by age leave later numbers; anything else is a log begun anew.
        let is_anew =
            is_other || there.is_some() || place::number(&oldest.0) <= place::number(&place.file);
        self.lost(
            hand,
            &format!(
                "the binary log from {}:{} on is gone ({}): what was written until {} is lost, and reading begins there",
                place.file,
                place.position,
                if is_other { "another server answers" } else if is_anew { "it was begun anew" } else { "purged" },
                oldest.0
            ),
        );
        let place = Place {
            file: oldest.0.clone(),
            position: FIRST,
            begun: 0,
            server: state.server_id,
            numbering: if is_anew { now } else { place.numbering },
        };
        self.keeper.save(&place)?;
        Ok(place)
    }

    fn refused(&self, hand: &Hand, why: &str) {
        let why = why.to_owned();
        hand.tell(self.id.clone(), News::Refused { why });
    }

    /// How much went isn't known: at least one.
    fn lost(&self, hand: &Hand, why: &str) {
        hand.tell(
            self.id.clone(),
            News::Dropped {
                records: 1,
                since: None,
            },
        );
        self.refused(hand, why);
    }
}
