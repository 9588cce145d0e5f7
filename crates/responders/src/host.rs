//! What is there on the shop's host, as its administrator's settings say, and the two ways out: programs and requests.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::StoreMap;
use serde::Deserialize;

use crate::ActionError;
use crate::as_root::{Operation, Way};
use crate::disk::Disk;
use crate::guard::GuardSettings;
use crate::http::{Answer, NoAnswer, Request};
use crate::network::Network;

/// What an administrator says of the shop's host. A part that is missing refuses its actions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostSettings {
    /// Magento.
    pub magento: Option<MagentoSettings>,
    /// Its web server.
    pub nginx: Option<NginxSettings>,
    /// Its packet filter.
    pub nftables: Option<NftablesSettings>,
    /// Who does what needs root.
    pub root: Option<RootSocket>,
    /// Its database.
    pub database: Option<DatabaseSettings>,
    /// Its caches.
    pub cache: Option<CacheSettings>,
    /// The CDN before it.
    pub edge: Option<EdgeSettings>,
    /// What is held of its logs.
    pub hold: Option<HoldSettings>,
    /// What the guard asks of it.
    pub guard: Option<GuardSettings>,
}

/// Magento on this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MagentoSettings {
    /// Its root: the folder that holds `app`, `pub` and `var`.
    pub root: PathBuf,
    /// Folder that files are moved to: ours, not served, on the root's file system.
    pub quarantine: Option<PathBuf>,
    /// Folder of files as they should be, each at its path below the root: written by its owner alone, not served.
    pub good_files: Option<PathBuf>,
    /// All consumers of its message queue (`bin/magento queue:consumers:list`), for where env.php names none and cron starts all.
    #[serde(default)]
    pub consumers: Vec<String>,
    /// Files, and folders with all below, in which variables of PHP's environment are set; Debian's and Red Hat's places unless said.
    pub environment: Option<Vec<PathBuf>>,
}

/// nginx on this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NginxSettings {
    /// Folder of our include files.
    pub folder: PathBuf,
    /// Program and arguments that test its configuration.
    #[serde(default = "test")]
    pub test: Vec<String>,
    /// Program and arguments that make it take its configuration anew.
    #[serde(default = "reload")]
    pub reload: Vec<String>,
    /// Where it answers for the shop in plain HTTP.
    pub ask: SocketAddr,
    /// Networks that are never blocked: proxies, balancers, monitors.
    #[serde(default)]
    pub proxies: Vec<String>,
}

/// nftables on this host, changed by this process itself, which is root then.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NftablesSettings {
    /// Program that changes them.
    #[serde(default = "crate::as_root::nft")]
    pub program: String,
}

/// The root helper on this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootSocket {
    /// Where it listens.
    #[serde(default = "socket")]
    pub socket: PathBuf,
}

/// The shop's database, with an account for containment: not the one that reads for detection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// Its socket; where there is none, `host` and `port`.
    pub socket: Option<PathBuf>,
    /// Its name or address.
    pub host: Option<String>,
    /// Its port.
    #[serde(default = "port")]
    pub port: u16,
    /// Certificates that its own is held against; else those of public authorities. Asked for beyond this host only.
    pub ca_file: Option<PathBuf>,
    /// The account.
    pub user: String,
    /// File with its password, for its owner alone; without one it logs in as this user of the host.
    pub password_file: Option<PathBuf>,
    /// The shop's schema.
    pub schema: String,
    /// What is put in front of names of tables (`db/table_prefix`).
    #[serde(default)]
    pub prefix: String,
    /// Folder of rows as they should be, `TABLE:KEY.json` each; ours alone.
    pub good_rows: Option<PathBuf>,
}

/// The shop's caches: Magento's own in Redis or Valkey, and Varnish before them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// Where Magento's caches are, in the order in which they are emptied: the default one, then the page cache.
    pub servers: Vec<CacheServer>,
    /// What every id begins with (`cache/frontend/NAME/id_prefix` of env.php); empty where no other shop uses these databases.
    #[serde(default)]
    pub prefix: String,
    /// The account at these servers, where they have several.
    pub user: Option<String>,
    /// File with its password, for its owner alone.
    pub password_file: Option<PathBuf>,
    /// Every Varnish (`http_cache_hosts` of env.php): emptied last.
    #[serde(default)]
    pub varnish: Vec<SocketAddr>,
}

/// One database of a Redis or Valkey.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheServer {
    /// Where it answers, in plain: on this host, or in a network of the shop's own.
    pub at: SocketAddr,
    /// The database's number.
    pub database: i64,
}

/// The CDN before the shop, asked by its API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeSettings {
    /// Which one.
    pub service: EdgeService,
    /// Number of the service (Fastly) or of the zone (Cloudflare).
    pub id: String,
    /// File with a token that may change it and nothing else, for its owner alone.
    pub token_file: PathBuf,
    /// Where its API answers, if not where its maker says: by way of a proxy.
    pub api: Option<String>,
    /// Certificates that its own is held against; else those of public authorities.
    pub ca_file: Option<PathBuf>,
    /// Networks that are never blocked there, beside nginx's `proxies`.
    #[serde(default)]
    pub never: Vec<String>,
    /// Longest time for a call, if not 20 seconds: for tests.
    #[serde(skip)]
    pub limit: Option<Duration>,
}

/// A CDN that is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EdgeService {
    /// Fastly, a service of VCL.
    Fastly,
    /// Cloudflare, a zone.
    Cloudflare,
}

impl EdgeService {
    /// Where its API answers.
    pub(crate) const fn api(self) -> &'static str {
        match self {
            Self::Fastly => "https://api.fastly.com",
            Self::Cloudflare => "https://api.cloudflare.com/client/v4",
        }
    }

    /// The header that says who asks, and its value.
    pub(crate) fn login(self, token: &str) -> (&'static str, String) {
        match self {
            Self::Fastly => ("Fastly-Key", token.to_owned()),
            Self::Cloudflare => ("Authorization", format!("Bearer {token}")),
        }
    }
}

/// Which logs are held when an incident asks for it, and where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldSettings {
    /// Folder of copies: ours alone (0700), not served.
    pub folder: PathBuf,
    /// Folders of logs; what lies in folders of these isn't held.
    pub logs: Vec<PathBuf>,
}

const fn port() -> u16 {
    3306
}

fn socket() -> PathBuf {
    PathBuf::from("/run/magewarden/root.sock")
}

fn test() -> Vec<String> {
    ["nginx", "-t"].map(str::to_owned).to_vec()
}

fn reload() -> Vec<String> {
    ["nginx", "-s", "reload"].map(str::to_owned).to_vec()
}

/// A shop's host: settings, its stores, and the world.
pub struct Host {
    /// What its administrator says.
    pub settings: HostSettings,
    /// Websites, stores, views and hosts of the shop.
    pub stores: StoreMap,
    /// Programs and requests.
    pub world: Box<dyn World>,
    pub(crate) disk: Disk,
}

impl Host {
    /// A host whose programs are run and whose servers are asked.
    #[must_use]
    pub fn new(settings: HostSettings, stores: StoreMap) -> Self {
        Self::within(settings, stores, Box::new(crate::world::ThisHost))
    }

    /// A host with another world, for tests and exercises.
    #[must_use]
    pub fn within(settings: HostSettings, stores: StoreMap, world: Box<dyn World>) -> Self {
        let disk = Disk::default();
        Self {
            settings,
            stores,
            world,
            disk,
        }
    }

    /// From now on as many changes are made as `steps` says, and then none, as if the process had been killed: for tests of
    /// what comes after that.
    pub fn die_after(&self, steps: u32) {
        self.disk.steps.die_after(steps);
    }

    /// Whether that came to pass.
    #[must_use]
    pub fn died(&self) -> bool {
        self.disk.steps.died()
    }

    /// Something outside of any action is about to be written, which counts as a change in such tests.
    ///
    /// # Errors
    ///
    /// [`ActionError::File`] when the process ended before it.
    pub fn step(&self, path: &std::path::Path) -> Result<(), ActionError> {
        self.disk.step(path)
    }

    pub(crate) fn nginx(&self) -> Result<&NginxSettings, ActionError> {
        let settings = self.settings.nginx.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [nginx]".to_owned(),
        })
    }

    /// Has what needs root done: by the root helper where the host has one, else by this process.
    pub(crate) fn root(&self, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        let way = match (&self.settings.root, &self.settings.nftables) {
            (Some(root), _) => Way::Helper(root.socket.clone()),
            (None, Some(nftables)) => Way::Here(nftables.program.clone()),
            (None, None) => {
                return Err(ActionError::NotSetUp {
                    what: "the host's settings have no part [root] and no [nftables]".to_owned(),
                });
            }
        };
        self.world.root(&way, operation)
    }

    pub(crate) fn database(&self) -> Result<&DatabaseSettings, ActionError> {
        let settings = self.settings.database.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [database]".to_owned(),
        })
    }

    pub(crate) fn cache(&self) -> Result<&CacheSettings, ActionError> {
        let settings = self.settings.cache.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [cache]".to_owned(),
        })
    }

    pub(crate) fn edge(&self) -> Result<&EdgeSettings, ActionError> {
        let settings = self.settings.edge.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [edge]".to_owned(),
        })
    }

    pub(crate) fn hold(&self) -> Result<&HoldSettings, ActionError> {
        let settings = self.settings.hold.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [hold]".to_owned(),
        })
    }

    pub(crate) fn guard(&self) -> Result<&GuardSettings, ActionError> {
        let settings = self.settings.guard.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [guard]".to_owned(),
        })
    }

    pub(crate) fn magento(&self) -> Result<&MagentoSettings, ActionError> {
        let settings = self.settings.magento.as_ref();
        settings.ok_or_else(|| ActionError::NotSetUp {
            what: "the host's settings have no part [magento]".to_owned(),
        })
    }
}

/// A request that asks whether something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Name in `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Value of the header `Store`, if one is sent.
    pub store: Option<String>,
}

/// The ways out of a process: other programs, and the web server. A memory stands in for it in tests.
pub trait World: Send + Sync {
    /// Runs a program without a shell, and waits for its end.
    ///
    /// # Errors
    ///
    /// [`ActionError::Program`] when it can't be started, fails, or takes longer than `limit`; then it is ended.
    fn run(&self, program: &[String], limit: Duration) -> Result<(), ActionError>;

    /// Runs a program without a shell, waits for its end and gives what it wrote, 1 MiB of it at most.
    ///
    /// # Errors
    ///
    /// As [`run`](World::run).
    fn read(&self, program: &[String], limit: Duration) -> Result<Vec<u8>, ActionError>;

    /// Has something done that needs root, and gives the networks that it tells of; none where it tells of none.
    ///
    /// # Errors
    ///
    /// [`ActionError::Refused`] when root's settings don't let it, [`ActionError::Root`] and others when it failed.
    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError>;

    /// Sends a `GET` and gives the status of the answer.
    ///
    /// # Errors
    ///
    /// [`ActionError::NotSeen`] when none came within `limit`.
    fn ask(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<u16, ActionError>;

    /// Sends a `GET` and gives the answer with its head, 2 MiB of it at most.
    ///
    /// # Errors
    ///
    /// [`ActionError::NotSeen`] when none came within `limit`.
    fn fetch(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<Vec<u8>, ActionError>;

    /// Sends any request and gives the answer, 2 MiB of it at most.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] when none came within `limit`.
    fn request(
        &self,
        at: SocketAddr,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, NoAnswer>;

    /// Waits between two requests.
    fn pause(&self, time: Duration);
}
