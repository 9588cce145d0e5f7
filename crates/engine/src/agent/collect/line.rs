//! Calls to the server about records, with the certificate that the agent has at that moment.

use link::records::{Status, body};
use link::wire::{LINK_VERSION, PLACES, Places, RECORDS, Taken};
use link::{CallError, Client};

use super::Shared;
use crate::agent::identity;

/// What trouble with it is about.
pub(super) const SERVER: &str = "records for the server";

/// The line.
pub(super) struct Line<'a> {
    shared: &'a Shared,
    /// The certificate that `client` shows.
    shown: Vec<u8>,
    client: Option<Client>,
}

impl<'a> Line<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            shown: Vec::new(),
            client: None,
        }
    }

    /// The client of now: certificates are renewed beside it.
    fn client(&mut self) -> Result<&Client, CallError> {
        let away = |why: String| CallError::Away { why };
        let identity = identity(&self.shared.folder).map_err(|error| away(error.to_string()))?;
        if self.shown != identity.certificate.certificate || self.client.is_none() {
            let client = Client::new(&identity).map_err(|error| away(error.to_string()))?;
            self.client = Some(client);
            self.shown.clone_from(&identity.certificate.certificate);
        }
        self.client.as_ref().ok_or_else(|| away(String::new()))
    }

    /// Asks up to where the server has what was collected here.
    pub(super) fn places(&mut self) -> Result<Places, CallError> {
        let ask = serde_json::json!({ "v": LINK_VERSION });
        self.client()?.post(PLACES, &ask, 0)
    }

    /// Hands frames over; when it returns, they are durable there.
    pub(super) fn send(&mut self, status: &Status, frames: &[u8]) -> Result<Taken, CallError> {
        self.client()?.post_bytes(RECORDS, &body(status, frames))
    }
}
