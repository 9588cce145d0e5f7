//! Settings that several commands share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::tz::TimeZone;
use model::{RunType, StoreMap, TimeQuality, ViewPlace};
use parse::{Context, IpNetwork};

use crate::failure::{Failure, OrFail};

/// How records are read.
#[derive(Args, Clone, Default)]
pub(crate) struct Reading {
    /// Zone of times that say none, e.g. `Europe/Berlin` [default: UTC, shown as a guess]
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<String>,
    /// Address or network of a proxy in front of the shop; may be repeated
    #[arg(long = "trusted-proxy", value_name = "CIDR")]
    pub(crate) trusted_proxies: Vec<String>,
    /// Table prefix of the shop (`db/table_prefix` in app/etc/env.php)
    #[arg(long, value_name = "PREFIX", default_value = "")]
    pub(crate) table_prefix: String,
    /// Folder of own Sigma rules (.yml), beside the built-in ones
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Websites, stores, views and hosts of the shop (TOML; docs/stores.md); without it a request's place is its host
    #[arg(long, value_name = "FILE")]
    pub(crate) stores: Option<PathBuf>,
}

/// A file of `--stores`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Stores {
    code_in_path: Option<bool>,
    default_website: String,
    back_end: String,
    views: BTreeMap<String, View>,
    hosts: BTreeMap<String, Host>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct View {
    website: String,
    #[serde(default)]
    store: String,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    default: bool,
}

const fn yes() -> bool {
    true
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    run: Run,
    code: String,
}

/// `MAGE_RUN_TYPE` as Magento writes it.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Run {
    Website,
    Group,
    Store,
}

/// Reads a file of stores, if there is one; a host whose code nothing has is an error.
pub(crate) fn read_stores(path: Option<&Path>) -> Result<StoreMap, Failure> {
    let Some(path) = path else {
        return Ok(StoreMap::default());
    };
    let text = std::fs::read_to_string(path).or_fail("check the path of --stores")?;
    let file: Stores = toml::from_str(&text).or_fail("docs/stores.md shows one")?;
    let mut map = StoreMap {
        code_in_path: file.code_in_path,
        default_website: file.default_website,
        back_end: file.back_end,
        ..StoreMap::default()
    };
    for (code, view) in file.views {
        let place = ViewPlace {
            website: view.website,
            store: view.store,
            is_active: view.active,
            is_default: view.default,
        };
        map.views.insert(code, place);
    }
    for (name, host) in file.hosts {
        let (run, known) = match host.run {
            Run::Website => (
                RunType::Website,
                map.views.values().any(|view| view.website == host.code),
            ),
            Run::Group => (
                RunType::Store,
                map.views.values().any(|view| view.store == host.code),
            ),
            Run::Store => (RunType::View, map.views.contains_key(&host.code)),
        };
        if !known {
            return Err(Failure::say(
                format!(
                    "host `{name}` runs `{}`, which no view belongs to",
                    host.code
                ),
                "name each view below [views] with its website and store",
            ));
        }
        map.hosts
            .insert(name.to_ascii_lowercase(), (run, host.code));
    }
    Ok(map)
}

/// A live source as settings and flags name it.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct SourceSettings {
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) settings: toml::Table,
}

/// Reads `KIND,SETTING=VALUE,…`; a value is TOML where it reads as such, else a text.
pub(crate) fn source_flag(text: &str) -> Result<SourceSettings, String> {
    let (kind, rest) = text.split_once(',').unwrap_or((text, ""));
    let mut settings = toml::Table::new();
    for pair in rest.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("`{pair}` is no SETTING=VALUE"))?;
        let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| value.into());
        settings.insert(name.to_owned(), value);
    }
    Ok(SourceSettings {
        kind: kind.to_owned(),
        settings,
    })
}

impl Reading {
    /// Makes the context of parsing.
    pub(crate) fn context(&self) -> Result<Context, Failure> {
        let (zone, zone_quality) = match &self.zone {
            Some(name) => (
                TimeZone::get(name)
                    .or_fail("a name of the IANA time zone database, e.g. Europe/Berlin")?,
                TimeQuality::ZoneConfigured,
            ),
            None => (TimeZone::UTC, TimeQuality::ZoneGuessed),
        };
        let mut trusted_proxies = Vec::new();
        for text in &self.trusted_proxies {
            let network: IpNetwork = text.parse().map_err(|_| {
                Failure::say(
                    format!("`{text}` is no address or network"),
                    "e.g. 10.0.0.0/8 or ::1",
                )
            })?;
            trusted_proxies.push(network);
        }
        Ok(Context {
            zone,
            zone_quality,
            trusted_proxies,
            table_prefix: self.table_prefix.clone(),
            stores: read_stores(self.stores.as_deref())?,
        })
    }

    /// Reads the merchant's own rules.
    pub(crate) fn own_rules(&self) -> Result<Vec<(String, String)>, Failure> {
        match &self.rules {
            Some(folder) => read_rules(folder),
            None => Ok(Vec::new()),
        }
    }
}

/// Reads every `.yml` of a folder, or one file, in order of name.
pub(crate) fn read_rules(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let mut files = Vec::new();
    if path.is_dir() {
        let hint = "name a folder of .yml files that you may read";
        for entry in std::fs::read_dir(path).or_fail(hint)? {
            let file = entry.or_fail(hint)?.path();
            if file
                .extension()
                .is_some_and(|ending| ending == "yml" || ending == "yaml")
            {
                files.push(file);
            }
        }
    } else {
        files.push(path.to_owned());
    }
    files.sort();
    let mut rules = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)
            .or_fail(&format!("check that {} is readable text", file.display()))?;
        rules.push((file.display().to_string(), text));
    }
    Ok(rules)
}
