//! What stands before the shop and belongs to somebody else: a CDN that is asked by its API.
//!
//! One file a service. Invariants: no text reaches a service's language but a network that was read to its kind; a version that
//! somebody else made active is never replaced by an older one; the token leaves this host for the service alone, by TLS.

mod api;
mod cloudflare;
mod fastly;

use serde::{Deserialize, Serialize};

use crate::action::{ActionError, Change, Effect};
use crate::host::{EdgeService, EdgeSettings, Host};

use api::Api;

/// What is there of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    /// Nothing.
    Absent,
    /// All of it, as we make it.
    Whole,
    /// Something of our name that isn't as we make it.
    Other,
}

/// What undoes a block.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Whether the network was blocked by a block of ours already, which then stays.
    is_so: bool,
}

/// A service. Each call looks first: what is so already isn't done again.
trait Service {
    /// What it is called, with its number.
    fn name(&self) -> String;
    /// What is there of the block of a network.
    fn look(&self, network: &str) -> Result<Is, ActionError>;
    /// Adds it where nothing of it is there.
    fn add(&self, network: &str) -> Result<(), ActionError>;
    /// Takes it away where it is whole.
    fn remove(&self, network: &str) -> Result<(), ActionError>;
}

/// The service of a host.
pub(crate) struct Edge<'a>(Box<dyn Service + 'a>);

impl<'a> Edge<'a> {
    pub(crate) fn open(host: &'a Host) -> Result<Self, ActionError> {
        let settings: &EdgeSettings = host.edge()?;
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric();
        if settings.id.is_empty() || settings.id.len() > 64 || !settings.id.bytes().all(is_fine) {
            return Err(ActionError::NotSetUp {
                what: "`id` of [edge] has letters and digits: the service's (Fastly) or the zone's (Cloudflare)".to_owned(),
            });
        }
        let id = settings.id.as_str();
        let api = Api::open(settings, &host.disk.steps)?;
        Ok(match settings.service {
            EdgeService::Fastly => Self(Box::new(fastly::Fastly { api, id })),
            EdgeService::Cloudflare => Self(Box::new(cloudflare::Cloudflare { api, id })),
        })
    }

    pub(crate) fn survey(&self, network: &str) -> Result<(Change, Kept), ActionError> {
        let is_so = match self.0.look(network)? {
            Is::Absent => false,
            Is::Whole => true,
            Is::Other => return Err(self.changed(network)),
        };
        let change = Change {
            what: format!("requests of {network} at {}", self.0.name()),
            now: if is_so {
                "refused already".to_owned()
            } else {
                "served, unless something else there refuses them".to_owned()
            },
            then: "403".to_owned(),
        };
        Ok((change, Kept { is_so }))
    }

    pub(crate) fn act(&self, network: &str) -> Result<(), ActionError> {
        match self.0.look(network)? {
            Is::Whole => Ok(()),
            Is::Absent => {
                self.0.add(network)?;
                self.expect(network, Is::Whole)
            }
            Is::Other => Err(self.changed(network)),
        }
    }

    pub(crate) fn read_back(&self, network: &str) -> Result<Effect, ActionError> {
        Ok(match self.0.look(network)? {
            Is::Whole => Effect::InEffect,
            Is::Absent => Effect::NotInEffect,
            Is::Other => Effect::Partly(format!(
                "the block of {network} at {} isn't as we made it",
                self.0.name()
            )),
        })
    }

    pub(crate) fn undo(&self, network: &str, kept: &Kept) -> Result<(), ActionError> {
        if kept.is_so {
            return Ok(());
        }
        match self.0.look(network)? {
            Is::Absent => Ok(()),
            Is::Whole => {
                self.0.remove(network)?;
                self.expect(network, Is::Absent)
            }
            Is::Other => Err(self.changed(network)),
        }
    }

    /// Whether a service shows what it said that it did.
    fn expect(&self, network: &str, wanted: Is) -> Result<(), ActionError> {
        if self.0.look(network)? == wanted {
            return Ok(());
        }
        let how = format!("{} says that it was, for {network}", self.0.name());
        Err(api::failed("show that it was done", &how))
    }

    fn changed(&self, network: &str) -> ActionError {
        ActionError::refused(format!(
            "the block of {network} at {} was changed by somebody else: see to it there",
            self.0.name()
        ))
    }
}
