//! What a finding says of its events: actors, assets, counts.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{Actor, ActorKind, Asset, AssetKind, Category, Event, Field};

use crate::shape::{data_class, is_injectable, is_payment_table};
use crate::sigma::WindowSpec;

/// Actors kept of one finding.
pub(crate) const ACTORS_MAX: usize = 16;
/// Assets kept of one finding.
pub(crate) const ASSETS_MAX: usize = 16;

/// Adds whoever an event names.
pub(crate) fn actors(event: &Event<'_>, into: &mut BTreeSet<Actor>) {
    let mut add = |kind, value: String| {
        if into.len() < ACTORS_MAX {
            into.insert(Actor { kind, value });
        }
    };
    if event.category == Category::Database {
        if let Some(user) = event.text(Field::DbUser) {
            add(ActorKind::DatabaseAccount, user.to_owned());
            if let Some(id) = event.int(Field::ConnectionId) {
                add(ActorKind::DatabaseConnection, format!("{user}#{id}"));
            }
            if let Some(peer) = peer(event) {
                add(ActorKind::Address, peer);
            }
        }
    } else if let Some(address) = event.text(Field::ClientIp) {
        add(ActorKind::Address, address.to_owned());
    }
    let number = || event.int(Field::AdminId).map(|id| format!("user_id {id}"));
    if let Some(name) = event
        .text(Field::AdminName)
        .map(str::to_owned)
        .or_else(number)
    {
        add(ActorKind::Administrator, name);
    }
    if let Some(process) = event.text(Field::ProcessName) {
        add(ActorKind::HostProcess, process.to_owned());
    }
    // Who logged in stays who it was through `su` and `sudo`.
    if let Some(account) = event.text(Field::LoginUser).or(event.text(Field::OsUser)) {
        add(ActorKind::HostAccount, account.to_owned());
    }
}

/// The address a connection to the database came from; none for the database's own host or a name. Whether it is one of the
/// shop's hosts, behind which everybody stands, only whoever sees all events can tell.
pub(crate) fn peer(event: &Event<'_>) -> Option<String> {
    let address: IpAddr = event.text(Field::DbHost)?.parse().ok()?;
    (!address.is_loopback() && !address.is_unspecified()).then(|| address.to_string())
}

/// Adds what an event touches.
pub(crate) fn assets(event: &Event<'_>, spec: &WindowSpec, into: &mut BTreeSet<Asset>) {
    let mut add = |asset: Asset| {
        if into.len() < ASSETS_MAX {
            into.insert(asset);
        }
    };
    for explicit in &spec.about.assets {
        let (kind, name) = explicit.split_once(':').unwrap_or(("path", explicit));
        let kind = match kind {
            "log" => AssetKind::Log,
            "row" => AssetKind::Row,
            "table" => AssetKind::Table,
            _ => AssetKind::Path,
        };
        add(Asset {
            kind,
            name: name.to_owned(),
            class: data_class(name).unwrap_or(model::DataClass::Public),
        });
    }
    let tables = event.list(Field::Tables);
    let any = tables.iter().any(|table| data_class(table).is_some());
    for table in tables {
        let class = data_class(table);
        if class.is_some() || !any || is_injectable(table) {
            add(Asset {
                kind: AssetKind::Table,
                name: table.to_string(),
                class: class.unwrap_or(model::DataClass::Public),
            });
        }
    }
    for table in event
        .text(Field::CommandLine)
        .map_or_else(Vec::new, payment_tables)
    {
        add(Asset {
            kind: AssetKind::Table,
            class: data_class(table).unwrap_or(model::DataClass::Public),
            name: table.to_owned(),
        });
    }
    if let Some(path) = event.text(Field::FilePath) {
        add(Asset {
            kind: AssetKind::Path,
            name: path.to_owned(),
            class: model::DataClass::Public,
        });
    }
    if let Some(source) = event.text(Field::HealthSource) {
        add(Asset {
            kind: AssetKind::Log,
            name: source.to_owned(),
            class: model::DataClass::Public,
        });
    }
    if let Some(package) = event.text(Field::Package) {
        let version = event.text(Field::PackageVersion).unwrap_or_default();
        add(Asset {
            kind: AssetKind::Path,
            name: format!("{package} {version}").trim_end().to_owned(),
            class: model::DataClass::Public,
        });
    }
    if let Some(target) = event.text(Field::AdminTarget) {
        let table = target.split(':').next().unwrap_or(target);
        add(Asset {
            kind: AssetKind::Row,
            name: target.to_owned(),
            class: data_class(table).unwrap_or(model::DataClass::Public),
        });
    } else if let Some(table) = event.text(Field::Table) {
        // What is set is told apart by its path: `core_config_data:design/head/includes`.
        let row = event.text(Field::ConfigPath).or(event.text(Field::RowKey));
        add(Asset {
            kind: AssetKind::Row,
            name: row.map_or_else(|| table.to_owned(), |row| format!("{table}:{row}")),
            class: data_class(table).unwrap_or(model::DataClass::Public),
        });
    }
    if let (Some(part), Some(page)) = (event.text(Field::PagePart), event.text(Field::Url)) {
        // Whatever runs in a payment page reads what is typed there; a header by itself reads nothing, and a report is
        // anybody's word.
        let is_hint = part == "header" || event.text(Field::Change) == Some("reported");
        let class = if is_hint {
            model::DataClass::Public
        } else {
            model::DataClass::Sad
        };
        add(Asset {
            kind: AssetKind::Path,
            name: page.to_owned(),
            class,
        });
    } else if event.category != Category::Database
        && let Some(path) = event.text(Field::UriStem).or(event.text(Field::Url))
    {
        add(Asset {
            kind: AssetKind::Path,
            name: path_pattern(path),
            class: path_class(path),
        });
    }
}

/// The payment tables a command names, by themselves, as a file or behind a table prefix.
fn payment_tables(command: &str) -> Vec<&str> {
    command
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter_map(|word| {
            let after = word
                .match_indices('_')
                .filter_map(|(at, _)| word.get(at + 1..));
            std::iter::once(word)
                .chain(after)
                .find(|name| is_payment_table(name))
        })
        .collect()
}

/// Bytes of a path's pattern at most.
const PATTERN_MAX: usize = 200;

/// A path with its numbers and secrets folded, so that a walk over ids is one asset; at most 200 bytes.
#[must_use]
pub fn path_pattern(path: &str) -> String {
    let mut out = String::new();
    for (at, part) in path.split('/').enumerate() {
        let part = match part {
            number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                "{n}"
            }
            // Masked cart ids (32 letters) and keys of the back end (64 hexadecimal digits).
            id if id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => "{id}",
            other => other,
        };
        if out.len() + part.len() >= PATTERN_MAX {
            break;
        }
        if at > 0 {
            out.push('/');
        }
        out.push_str(part);
    }
    out
}

/// What an answer under a path can hold.
fn path_class(path: &str) -> model::DataClass {
    let lower = path.to_ascii_lowercase();
    if ["/rest/", "/soap/"].iter().any(|api| lower.contains(api))
        && (lower.contains("order") || lower.contains("invoice") || lower.contains("transaction"))
    {
        model::DataClass::PanTruncated
    } else if [
        "/customers",
        "/export",
        "/mui/",
        "/sales/order",
        "/customer/",
    ]
    .iter()
    .any(|word| lower.contains(word))
    {
        model::DataClass::Personal
    } else {
        model::DataClass::Public
    }
}
