//! A shop's host in a folder of its own: real files, an nginx in memory that goes by our include file when it is told to.
//!
//! For the contract of actions, and for exercises: no server is started, and what the guard asks for is answered as a Magento does.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{RunType, StoreMap, ViewPlace};

use crate::as_root::{NginxPrograms, Operation, RootSettings, Way, carry};
use crate::guard::{GuardSettings, ViewSettings};
use crate::host::{
    Ask, HoldSettings, Host, HostSettings, MagentoSettings, NftablesSettings, NginxSettings,
    RootSocket, World,
};
use crate::http::{Answer, NoAnswer, Request};
use crate::network::Network;
use crate::{ActionError, nginx};

/// What the root helper of [`host_by_root`] never drops.
const NEVER: &str = "203.0.113.9";

/// Two websites, three views and a closed one.
#[must_use]
pub fn stores() -> StoreMap {
    let mut map = StoreMap {
        code_in_path: Some(false),
        default_website: "base".to_owned(),
        back_end: "office_x1".to_owned(),
        ..StoreMap::default()
    };
    for (code, website, store, is_active, is_default) in [
        ("de", "base", "main", true, true),
        ("fr", "base", "main", true, false),
        ("old", "base", "main", false, false),
        ("us", "second", "us_store", true, true),
    ] {
        let place = ViewPlace {
            website: website.to_owned(),
            store: store.to_owned(),
            is_active,
            is_default,
        };
        map.views.insert(code.to_owned(), place);
    }
    for (host, run, code) in [
        ("de.shop.test", RunType::Website, "base"),
        ("fr.shop.test", RunType::View, "fr"),
        ("us.shop.test", RunType::Website, "second"),
    ] {
        map.hosts.insert(host.to_owned(), (run, code.to_owned()));
    }
    map
}

/// The same, where nginx is changed by a root helper, and so are networks; it refuses 203.0.113.9, which its own settings never let be dropped.
///
/// # Errors
///
/// As [`host`].
pub fn host_by_root(folder: &Path) -> Result<Host, ActionError> {
    let mut host = host(folder)?;
    host.settings.root = Some(RootSocket {
        socket: folder.join("root.sock"),
    });
    Ok(host)
}

/// A host in a folder: Magento's root in `shop`, with a dropped `pub/media/x.php` and a changed `pub/static/checkout.js`, as it should be in `good_files`; our include files in `nginx`, a file for each network whose packets are dropped in `nftables`, moved files in `quarantine`; two logs in `log`, held in `hold`.
///
/// # Errors
///
/// [`ActionError`] when the folder can't be written to.
pub fn host(folder: &Path) -> Result<Host, ActionError> {
    let include = folder.join("nginx");
    let root = folder.join("shop");
    for made in [
        root.join("var"),
        root.join("pub/media"),
        root.join("pub/static"),
        folder.join("good_files/pub/static"),
        folder.join("quarantine"),
        folder.join("hold"),
        folder.join("log"),
        folder.join("nftables"),
    ] {
        std::fs::create_dir_all(&made).map_err(ActionError::file("make", &made))?;
    }
    let ours = folder.join("quarantine");
    let (hold, log) = (folder.join("hold"), folder.join("log"));
    for ours in [&ours, &hold] {
        std::fs::set_permissions(ours, std::fs::Permissions::from_mode(0o700))
            .map_err(ActionError::file("make", ours))?;
    }
    let good = folder.join("good_files");
    for (file, content) in [
        (root.join("pub/media/x.php"), "<?php // dropped\n"),
        (root.join("pub/static/checkout.js"), "pay(); steal();\n"),
        (good.join("pub/static/checkout.js"), "pay();\n"),
        (good.join("pub/static/gone.js"), "gone();\n"),
        (log.join("access.log"), "GET /media/x.php?c=id 200\n"),
        (log.join("access.log.1"), "GET / 200\n"),
    ] {
        std::fs::write(&file, content).map_err(ActionError::file("make", &file))?;
    }
    let settings = HostSettings {
        magento: Some(MagentoSettings {
            root,
            quarantine: Some(ours),
            good_files: Some(good),
            consumers: Vec::new(),
            environment: None,
        }),
        nginx: Some(NginxSettings {
            folder: include.clone(),
            test: vec!["test".to_owned()],
            reload: vec!["reload".to_owned()],
            ask: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            proxies: vec!["198.51.100.0/24".to_owned()],
        }),
        nftables: Some(NftablesSettings {
            program: crate::as_root::nft(),
        }),
        root: None,
        database: None,
        cache: None,
        edge: None,
        hold: Some(HoldSettings {
            folder: hold,
            logs: vec![log],
        }),
        guard: Some(guard()),
    };
    let world = Nginx {
        file: include.join("http.conf"),
        networks: folder.join("nftables"),
        running: Mutex::default(),
    };
    let host = Host::within(settings, stores(), Box::new(world));
    nginx::prepare(&host)?;
    host.world.run(&["reload".to_owned()], Duration::ZERO)?;
    Ok(host)
}

/// What the guard asks of two of its views.
fn guard() -> GuardSettings {
    let view = |code: &str| {
        let of = ViewSettings {
            host: format!("{code}.shop.test"),
            home: "/".to_owned(),
            category: "/a.html".to_owned(),
            product: "/b.html".to_owned(),
            sku: "b".to_owned(),
            country: "DE".to_owned(),
            postcode: "10115".to_owned(),
        };
        (code.to_owned(), of)
    };
    GuardSettings {
        mark: "magewarden-guard".to_owned(),
        limit: Duration::from_secs(10),
        every: Duration::from_secs(60),
        secure: true,
        view: ["de", "fr"].map(view).into(),
    }
}

/// What a Magento answers to a guest, as far as the guard asks for it.
fn sold(request: &Request) -> Answer {
    let mut path = request.path.split('/').skip(5);
    let body = match (request.method, path.next(), path.next()) {
        ("POST", None, _) if request.path.starts_with("/rest/") => r#""cart1""#,
        ("POST", Some("cart1"), Some("items")) => r#"{"item_id":7,"sku":"b","qty":1}"#,
        ("DELETE", Some("cart1"), Some("items")) => "true",
        (_, Some("cart1"), Some("estimate-shipping-methods")) => {
            r#"[{"carrier_code":"flatrate","method_code":"flatrate","available":true}]"#
        }
        (_, Some("cart1"), Some("payment-methods")) => r#"[{"code":"checkmo","title":"Check"}]"#,
        _ => "<!doctype html>",
    };
    let cookies = ["store=de; Path=/", "PHPSESSID=abc,1; Path=/; HttpOnly"];
    let cookies = cookies.map(|one| ("set-cookie".to_owned(), one.to_owned()));
    Answer {
        status: 200,
        headers: cookies.into(),
        body: body.as_bytes().to_vec(),
    }
}

/// An nginx that has read our file when it was last told to, and a kernel that keeps networks as files.
struct Nginx {
    file: PathBuf,
    networks: PathBuf,
    running: Mutex<String>,
}

impl World for Nginx {
    fn run(&self, program: &[String], _limit: Duration) -> Result<(), ActionError> {
        let content = std::fs::read_to_string(&self.file);
        let content = content.map_err(ActionError::file("read", &self.file))?;
        // A folder with this file in it has an administrator's mistake.
        if self.file.with_file_name("broken").exists() {
            return Err(ActionError::Program {
                program: program.join(" "),
                how: "failed: unknown directive".to_owned(),
            });
        }
        if program.iter().any(|word| word == "reload") {
            *self.running.lock().unwrap_or_else(PoisonError::into_inner) = content;
        }
        Ok(())
    }

    fn read(&self, program: &[String], _limit: Duration) -> Result<Vec<u8>, ActionError> {
        Err(ActionError::Program {
            program: program.join(" "),
            how: "can't be started: there are no programs here".to_owned(),
        })
    }

    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        let folder = &self.networks;
        let file = |network: &Network| folder.join(network.to_string().replace('/', " "));
        match operation {
            Operation::ListNetworks => {
                let entries =
                    std::fs::read_dir(folder).map_err(ActionError::file("read", folder))?;
                let names = entries.flatten().map(|entry| entry.file_name());
                let names = names.map(|name| name.to_string_lossy().replace(' ', "/"));
                return Ok(names.filter_map(|name| Network::read(&name)).collect());
            }
            Operation::AddNetwork(network) if network.to_string() == NEVER => {
                return Err(ActionError::refused(format!(
                    "{NEVER} is never dropped here"
                )));
            }
            Operation::AddNetwork(network) => {
                let file = file(network);
                std::fs::write(&file, "").map_err(ActionError::file("write", &file))?;
            }
            Operation::RemoveNetwork(network) => {
                let file = file(network);
                std::fs::remove_file(&file).map_err(ActionError::file("remove", &file))?;
            }
            Operation::TestNginx | Operation::ReloadNginx | Operation::PutRules { .. } => {
                if matches!(way, Way::Here(_)) {
                    return Err(ActionError::refused("nginx's programs are run without it"));
                }
                let programs = |word: &str| vec![word.to_owned()];
                let settings = RootSettings {
                    account: 0,
                    stores: None,
                    nginx: Some(NginxPrograms {
                        folder: self.file.with_file_name(""),
                        test: programs("test"),
                        reload: programs("reload"),
                    }),
                    nftables: None,
                };
                carry(&settings, &stores(), operation, self)?;
            }
        }
        Ok(BTreeSet::new())
    }

    fn ask(&self, _at: SocketAddr, ask: &Ask, _limit: Duration) -> Result<u16, ActionError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(nginx::answer(&running, &stores(), ask))
    }

    fn fetch(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<Vec<u8>, ActionError> {
        let status = self.ask(at, ask, limit)?;
        Ok(format!("HTTP/1.1 {status}\r\n\r\n{} {}\n", ask.host, ask.path).into_bytes())
    }

    fn request(
        &self,
        at: SocketAddr,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        let ask = Ask {
            host: request.host.clone(),
            path: request.path.clone(),
            store: None,
        };
        let status = self.ask(at, &ask, limit);
        let status = status.map_err(|error| NoAnswer::Refused {
            how: error.to_string(),
        })?;
        Ok(match status {
            200 => sold(request),
            status => Answer {
                status,
                headers: Vec::new(),
                body: nginx::refusal(status).as_bytes().to_vec(),
            },
        })
    }

    fn pause(&self, _time: Duration) {}
}

/// How requests are answered in place of a shop: by it, or otherwise.
pub type Answering =
    dyn Fn(&dyn World, SocketAddr, &Request, Duration) -> Result<Answer, NoAnswer> + Send + Sync;

/// The same host, whose requests are answered by `answering`; programs are run and pages fetched as before, and nothing waits.
#[must_use]
pub fn answering(host: Host, answering: Box<Answering>) -> Host {
    let shop = host.world;
    Host::within(
        host.settings,
        host.stores,
        Box::new(Otherwise { shop, answering }),
    )
}

struct Otherwise {
    shop: Box<dyn World>,
    answering: Box<Answering>,
}

impl World for Otherwise {
    fn run(&self, program: &[String], limit: Duration) -> Result<(), ActionError> {
        self.shop.run(program, limit)
    }

    fn read(&self, program: &[String], limit: Duration) -> Result<Vec<u8>, ActionError> {
        self.shop.read(program, limit)
    }

    fn root(&self, way: &Way, operation: &Operation) -> Result<BTreeSet<Network>, ActionError> {
        self.shop.root(way, operation)
    }

    fn ask(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<u16, ActionError> {
        self.shop.ask(at, ask, limit)
    }

    fn fetch(&self, at: SocketAddr, ask: &Ask, limit: Duration) -> Result<Vec<u8>, ActionError> {
        self.shop.fetch(at, ask, limit)
    }

    fn request(
        &self,
        at: SocketAddr,
        request: &Request,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        (self.answering)(&*self.shop, at, request, limit)
    }

    fn pause(&self, _time: Duration) {}
}
