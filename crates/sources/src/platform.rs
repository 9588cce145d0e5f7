//! Where a shop runs, how its logs come here from there, and what of it can never be seen.
//!
//! Apart because it is told by what a shop names itself – variables, files, hosts, modules, settings – and nothing is asked of
//! any platform. What is said follows the makers' own documentation; what of that was not tried is said with it.
//! Yours: a [`Known`] in [`PLATFORMS`].

use std::path::Path;

use crate::database::{Gap, Run, Told};
use crate::env_php::ShopConfig;
use crate::{inventory, shop};

/// Variables that Adobe Commerce on cloud infrastructure sets; only whether they are there is looked at, since one holds passwords.
pub const VARIABLES: [&str; 3] = [
    "MAGENTO_CLOUD_PROJECT",
    "MAGENTO_CLOUD_ENVIRONMENT",
    "MAGENTO_CLOUD_RELATIONSHIPS",
];
/// Files of a project made for it.
const CLOUD_FILES: [&str; 3] = [
    ".magento.app.yaml",
    ".magento.env.yaml",
    ".magento/services.yaml",
];
/// How hosts of Amazon's databases end.
const AMAZON: [&str; 2] = [".rds.amazonaws.com", ".rds.amazonaws.com.cn"];

/// What a platform is recognised by.
pub struct Facts<'a> {
    /// Magento's root folder.
    pub root: &'a Path,
    /// Root of the file system, for the web server's settings and logs.
    pub system: &'a Path,
    /// What `app/etc/env.php` says.
    pub config: &'a ShopConfig,
    /// Host of the database, where another than that of `env.php` is asked.
    pub database_host: &'a str,
    /// What the database says of itself.
    pub told: &'a Told,
    /// Which of [`VARIABLES`] are set.
    pub variables: &'a [&'static str],
}

impl Facts<'_> {
    fn hosts(&self) -> impl Iterator<Item = &str> {
        let named = self.config.database_hosts.values().map(String::as_str);
        named.chain([self.database_host])
    }

    /// The first host of a database whose name, without port and in lower case, is such a one.
    fn host(&self, is: impl Fn(&str) -> bool) -> Option<String> {
        let name = |host: &str| {
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            host.trim_end_matches('.').to_ascii_lowercase()
        };
        let found = self.hosts().map(name).find(|host| is(host))?;
        Some(format!("the database's host {found}"))
    }

    /// Whether the web server's settings name a header.
    fn header(&self, header: &str) -> Option<String> {
        let is_there = shop::web_settings(self.system).any(|text| {
            text.to_ascii_lowercase()
                .contains(&header.to_ascii_lowercase())
        });
        is_there.then(|| format!("the header {header} in the web server's settings"))
    }
}

/// A platform that a shop runs on.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Its name for machines, e.g. `amazon-rds`.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
    /// How its logs come here.
    pub comes: &'static str,
    /// What it can never show.
    pub never: &'static [&'static str],
    /// Whose word this is, and what of it was not tried.
    pub rests_on: &'static str,
    /// Where a database's settings are made, when statements that set them are refused.
    settings: Option<Managed>,
}

#[derive(Clone, Copy, Debug)]
struct Managed {
    /// How an audit log is switched on.
    audit: &'static str,
    /// Where all else is set.
    parameters: &'static str,
}

/// A platform, and what tells that it is there.
struct Known {
    platform: Platform,
    by: fn(&Facts<'_>) -> Option<String>,
}

/// Every platform that is known, the shop's own first.
static PLATFORMS: [Known; 5] = [
    Known {
        platform: Platform {
            id: "adobe-commerce-cloud",
            name: "Adobe Commerce on cloud infrastructure",
            comes: "on each node `magewarden up`, while a shell may stay open; else `magento-cloud log NAME` into a file that is followed \
                    with --log, or log forwarding to the source http (Splunk's collector); Fastly's own log beside it",
            never: &[
                "who read what in the database: its slow log is there (kept seven days), an audit log is none of those Adobe names",
                "other nodes: each has its own logs, and only this one's are seen here",
                "which programs the web server starts: Linux's audit log wants root",
                "requests that Fastly answered from its cache, in nginx's own log",
            ],
            rests_on: "Adobe's documentation of log locations (Pro: rotated daily, kept a year; database logs seven days). Unverified on a \
                       live project: that no audit log can be had, what is forwarded, rotation on Starter",
            settings: None,
        },
        by: |facts| {
            if let Some(variable) = facts.variables.first() {
                return Some(format!("the environment variable {variable}"));
            }
            if facts.system.join("var/log/platform").is_dir() {
                return Some("the folder /var/log/platform".to_owned());
            }
            let file = CLOUD_FILES
                .iter()
                .find(|file| facts.root.join(file).is_file());
            file.map(|file| format!("the file {file}, which a copy of its code elsewhere has, too"))
        },
    },
    Known {
        platform: Platform {
            id: "amazon-aurora",
            name: "Amazon Aurora MySQL",
            comes: "the audit log of each instance downloaded (aws rds download-db-log-file-portion), or published to CloudWatch and sent \
                    from there to the source http with &format=mariadb_server_audit",
            never: &[
                "rows that a statement gave: only the slow query log counts them",
                "the order of its audit files, several of which are written at once: by their times alone",
                "the host: its files, processes and programs are Amazon's",
            ],
            rests_on: "Amazon's documentation of Advanced Auditing. Unverified on a live cluster: all of it",
            settings: Some(Managed {
                audit: "in the DB cluster parameter group: server_audit_logging=1, server_audit_events=CONNECT,QUERY,TABLE",
                parameters: "the DB cluster parameter group",
            }),
        },
        by: aurora,
    },
    Known {
        platform: Platform {
            id: "amazon-rds",
            name: "Amazon RDS",
            comes: "the audit log downloaded (aws rds download-db-log-file-portion), or published to CloudWatch and sent from there to the \
                    source http with &format=mariadb_server_audit",
            never: &[
                "rows that a statement gave: only the slow query log counts them",
                "which tables a cut statement touched, at RDS for MySQL: its plugin has no TABLE events",
                "what was rotated away before it was downloaded: by default ten audit files of 1 MB",
                "the host: its files, processes and programs are Amazon's",
            ],
            rests_on: "Amazon's documentation of the MariaDB Audit Plugin at RDS for MySQL. Unverified on a live instance: all of it, and RDS for MariaDB's TABLE events",
            settings: Some(Managed {
                audit: "in the option group: the option MARIADB_AUDIT_PLUGIN with SERVER_AUDIT_EVENTS=CONNECT,QUERY (RDS for MariaDB: CONNECT,QUERY,TABLE), \
                        SERVER_AUDIT_FILE_ROTATE_SIZE=100000000",
                parameters: "the DB parameter group, or where its name begins with server_audit the option group",
            }),
        },
        by: |facts| {
            if aurora(facts).is_some() {
                return None;
            }
            facts
                .host(|host| AMAZON.iter().any(|end| host.ends_with(end)))
                .or_else(|| rds_folder(facts.told))
        },
    },
    Known {
        platform: Platform {
            id: "fastly",
            name: "Fastly",
            comes: "its real-time log streaming to the source syslog or http, as JSON with the keys of docs/stores.md",
            never: &[
                "requests it answered from its cache, in the web server's own log",
                "the store of a request, unless its log format names cookie and header",
                "bodies of requests and answers",
            ],
            rests_on: "Fastly's module for Magento and its documentation. Unverified here: what a service logs is its own setting",
            settings: None,
        },
        by: |facts| {
            let is_on = || inventory::is_on(facts.root, "Fastly_Cdn");
            if facts.told.fastly_service {
                return Some(
                    "the row system/full_page_cache/fastly/fastly_service_id of the configuration"
                        .to_owned(),
                );
            }
            is_on()
                .then(|| "the module Fastly_Cdn, on in app/etc/config.php".to_owned())
                .or_else(|| facts.header("Fastly-Client-IP"))
        },
    },
    Known {
        platform: Platform {
            id: "cloudflare",
            name: "Cloudflare",
            comes: "Logpush to the source http with &format=cloudflare_json, or to a bucket and from there",
            never: &[
                "requests it answered from its cache or refused, in the web server's own log",
                "bodies of requests and answers",
                "cookies: it logs them only as custom fields, which aren't read here",
            ],
            rests_on: "Cloudflare's documentation of Logpush, which not every plan has. Unverified here on a live zone",
            settings: None,
        },
        by: |facts| facts.header("CF-Connecting-IP"),
    },
];

fn aurora(facts: &Facts<'_>) -> Option<String> {
    if let Some(version) = facts.told.get("aurora_version") {
        return Some(format!("the server's variable aurora_version={version}"));
    }
    // `NAME.cluster-ID.REGION…`, `NAME.cluster-ro-ID.REGION…`; an instance's own host doesn't tell.
    facts.host(|host| AMAZON.iter().any(|end| host.ends_with(end)) && host.contains(".cluster-"))
}

/// Where Amazon's servers keep their tables.
fn rds_folder(told: &Told) -> Option<String> {
    let folder = told
        .get("datadir")
        .filter(|folder| folder.starts_with("/rdsdbdata/"))?;
    Some(format!("the server's variable datadir={folder}"))
}

/// The platforms that are recognised, each with what tells so. One that hides behind a name of the shop's own isn't.
#[must_use]
pub fn recognise(facts: &Facts<'_>) -> Vec<(Platform, String)> {
    let found = PLATFORMS
        .iter()
        .filter_map(|known| Some((known.platform, (known.by)(facts)?)));
    found.collect()
}

impl Platform {
    /// Whether a database's settings are made otherwise than by statements, and its logs lie where nobody logs in.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.settings.is_some()
    }

    /// Makes a gap's remedy one that this platform takes; `false` where it takes none, since that is among what it never shows.
    #[must_use]
    pub fn takes(&self, gap: &mut Gap, told: &Told) -> bool {
        let Some(managed) = &self.settings else {
            return true;
        };
        let is_set = gap.close.contains("SET GLOBAL") || gap.close.contains("INSTALL ");
        if gap.run != Run::Sql || !is_set {
            return true;
        }
        let has = |event: &str| {
            told.get("server_audit_events").is_some_and(|events| {
                events
                    .split(',')
                    .any(|one| one.trim().eq_ignore_ascii_case(event))
            })
        };
        let is_mysql = told
            .get("version")
            .is_some_and(|version| !version.contains("MariaDB"));
        if self.id == "amazon-rds"
            && is_mysql
            && gap.id == "audit-events"
            && has("CONNECT")
            && has("QUERY")
        {
            return false;
        }
        let lines: Vec<&str> = gap
            .keep
            .lines()
            // Files lie where the platform puts them.
            .filter(|line| !line.starts_with("plugin_load") && !line.contains('/'))
            .collect();
        gap.close = match gap.id {
            "audit-missing" | "audit-unseen" | "audit-off" | "audit-not-writing"
            | "audit-events" => managed.audit.to_owned(),
            _ => format!("in {}: {}", managed.parameters, lines.join(", ")),
        };
        gap.run = Run::Person;
        gap.keep.clear();
        gap.undo = "set it back there to what it was".to_owned();
        gap.price.push_str(
            ". Statements that set it are refused there; some parameters want a restart (unverified here)",
        );
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, Platform, recognise};
    use crate::database::{Circumstances, Gap, Run, Told, gaps};
    use crate::env_php::ShopConfig;
    use std::collections::BTreeMap;

    /// What a shop shows.
    #[derive(Default)]
    struct Shop<'a> {
        files: &'a [(&'a str, &'a str)],
        host: &'a str,
        asked: &'a str,
        told: &'a [(&'a str, &'a str)],
        variables: &'a [&'static str],
    }

    fn told(variables: &[(&str, &str)]) -> Told {
        Told {
            by_server: !variables.is_empty(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Told::default()
        }
    }

    fn found(shop: &Shop<'_>, told: &Told) -> Vec<(Platform, String)> {
        let system = tempfile::tempdir().expect("a folder");
        for (path, text) in shop.files {
            let path = system.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        }
        let config = ShopConfig {
            database_hosts: BTreeMap::from([("default".to_owned(), shop.host.to_owned())]),
            ..ShopConfig::default()
        };
        recognise(&Facts {
            root: &system.path().join("shop"),
            system: system.path(),
            config: &config,
            database_host: shop.asked,
            told,
            variables: shop.variables,
        })
    }

    #[track_caller]
    fn check(shop: &Shop<'_>, expected: &[(&str, &str)]) {
        let found = found(shop, &told(shop.told));
        let ids: Vec<_> = found
            .iter()
            .map(|(platform, by)| (platform.id, by.as_str()))
            .collect();
        assert_eq!(ids, expected);
        for (platform, _) in found {
            assert!(!platform.never.is_empty() && platform.rests_on.contains("nverified"));
        }
    }

    #[test]
    fn a_shop_on_a_host_of_its_own_runs_on_no_platform() {
        check(&Shop::default(), &[]);
        let files = [
            (
                "etc/nginx/nginx.conf",
                "real_ip_header X-Forwarded-For;\n# real_ip_header CF-Connecting-IP;",
            ),
            (
                "shop/app/etc/config.php",
                "<?php\nreturn ['modules' => [\n 'Fastly_Cdn' => 0,\n]];",
            ),
        ];
        for host in [
            "localhost",
            "10.0.0.5:3307",
            "db.rds.amazonaws.com.example.org",
            "notrds.amazonaws.com",
        ] {
            let told = [
                ("version", "10.11.14-MariaDB"),
                ("datadir", "/var/lib/mysql/"),
            ];
            check(
                &Shop {
                    files: &files,
                    host,
                    told: &told,
                    ..Shop::default()
                },
                &[],
            );
        }
    }

    #[test]
    fn adobes_cloud_is_known_by_its_variables_its_folder_or_its_files() {
        let cloud = |by| [("adobe-commerce-cloud", by)];
        let variables = ["MAGENTO_CLOUD_ENVIRONMENT"];
        check(
            &Shop {
                variables: &variables,
                ..Shop::default()
            },
            &cloud("the environment variable MAGENTO_CLOUD_ENVIRONMENT"),
        );
        let files = [("var/log/platform/abc_stg/access.log", "")];
        check(
            &Shop {
                files: &files,
                ..Shop::default()
            },
            &cloud("the folder /var/log/platform"),
        );
        let files = [("shop/.magento.env.yaml", "stage: {}")];
        check(
            &Shop {
                files: &files,
                ..Shop::default()
            },
            &cloud("the file .magento.env.yaml, which a copy of its code elsewhere has, too"),
        );
    }

    #[test]
    fn amazons_databases_are_known_by_host_or_by_what_the_server_says() {
        let host = "shop.abc123.eu-central-1.rds.amazonaws.com";
        let by = format!("the database's host {host}");
        check(
            &Shop {
                host: &format!("{host}:3306"),
                ..Shop::default()
            },
            &[("amazon-rds", &by)],
        );
        check(
            &Shop {
                asked: &host.to_uppercase(),
                host: "db",
                ..Shop::default()
            },
            &[("amazon-rds", &by)],
        );
        // Behind a name of the shop's own the server tells it.
        let folder = [("datadir", "/rdsdbdata/db/")];
        check(
            &Shop {
                host: "db.internal",
                told: &folder,
                ..Shop::default()
            },
            &[("amazon-rds", "the server's variable datadir=/rdsdbdata/db/")],
        );
        let aurora = [("datadir", "/rdsdbdata/db/"), ("aurora_version", "3.05.2")];
        check(
            &Shop {
                host,
                told: &aurora,
                ..Shop::default()
            },
            &[(
                "amazon-aurora",
                "the server's variable aurora_version=3.05.2",
            )],
        );
        let host = "shop.cluster-ro-abc123.cn-north-1.rds.amazonaws.com.cn";
        check(
            &Shop {
                host,
                ..Shop::default()
            },
            &[("amazon-aurora", &format!("the database's host {host}"))],
        );
    }

    #[test]
    fn what_stands_in_front_is_known_by_module_row_or_header() {
        let files = [(
            "shop/app/etc/config.php",
            "<?php\nreturn [\n 'modules' => [\n  'Fastly_Cdn' => 1,\n ],\n];\n",
        )];
        check(
            &Shop {
                files: &files,
                ..Shop::default()
            },
            &[("fastly", "the module Fastly_Cdn, on in app/etc/config.php")],
        );
        let row = Told {
            fastly_service: true,
            ..Told::default()
        };
        let shown = found(&Shop::default(), &row);
        assert!(
            shown
                .iter()
                .any(|(platform, by)| platform.id == "fastly" && by.contains("fastly_service_id"))
        );
        for (path, text) in [
            (
                "etc/nginx/conf.d/real_ip.conf",
                "real_ip_header CF-Connecting-IP;",
            ),
            (
                "etc/apache2/mods-enabled/remoteip.conf",
                "RemoteIPHeader cf-connecting-ip",
            ),
        ] {
            check(
                &Shop {
                    files: &[(path, text)],
                    ..Shop::default()
                },
                &[(
                    "cloudflare",
                    "the header CF-Connecting-IP in the web server's settings",
                )],
            );
        }
    }

    #[test]
    fn a_managed_database_takes_no_statements_as_remedies() {
        let variables = [
            ("version", "8.0.36"),
            ("version_comment", "Source distribution"),
            ("datadir", "/rdsdbdata/db/"),
            ("slow_query_log", "OFF"),
            (
                "slow_query_log_file",
                "/rdsdbdata/log/slowquery/mysql-slowquery.log",
            ),
            ("server_audit_events", "CONNECT,QUERY"),
            ("server_audit_logging", "ON"),
            ("server_audit_file_rotate_size", "1000000"),
            ("server_audit_file_rotations", "9"),
        ];
        let told = told(&variables);
        let shop = Shop::default();
        let platforms = found(&shop, &told);
        assert!(platforms.iter().any(|(platform, _)| platform.is_managed()));
        let mut all: Vec<Gap> = gaps(&told, &Circumstances::default());
        let before: Vec<_> = all.iter().map(|gap| gap.id).collect();
        assert_eq!(before, ["audit-events", "audit-rotation", "slow-off"]);
        all.retain_mut(|gap| {
            platforms
                .iter()
                .all(|(platform, _)| platform.takes(gap, &told))
        });
        for gap in &all {
            assert_eq!(gap.run, Run::Person);
            assert!(
                !gap.close.contains("SET GLOBAL")
                    && !gap.close.contains('/')
                    && gap.keep.is_empty(),
                "{gap:#?}"
            );
        }
        let closes: Vec<_> = all.iter().map(|gap| (gap.id, gap.close.as_str())).collect();
        assert_eq!(
            closes.last(),
            Some(&(
                "slow-off",
                "in the DB parameter group, or where its name begins with server_audit the option group: long_query_time=0, min_examined_row_limit=100, slow_query_log=ON"
            ))
        );
        assert_eq!(
            closes.first().map(|(id, _)| *id),
            Some("audit-rotation"),
            "TABLE can't be had there"
        );
    }
}
