//! The body of a request that may be large: read up to a limit, few at once, and not for ever.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use tokio_stream::StreamExt as _;

use super::Console;

/// Longest time that sending a file may take.
const SENDING_MAX: Duration = Duration::from_secs(120);
/// Bodies that are read at once; others wait for their turn.
pub(super) const AT_ONCE: usize = 4;

/// Why a body wasn't read to its end. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    Aborted,
}

impl Unread {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Aborted => StatusCode::BAD_REQUEST,
        }
    }

    /// In words, for a limit of so many bytes.
    pub(crate) fn words(self, bytes_max: usize) -> String {
        match self {
            Self::TooLarge => format!(
                "the file is larger than {} MiB: attach the part that is needed, or keep it elsewhere and write down its SHA-256",
                bytes_max >> 20
            ),
            Self::TooSlow => {
                "it took too long to arrive, and nothing of it was kept: try again".to_owned()
            }
            Self::Aborted => {
                "it ended before it was whole, and nothing of it was kept: try again".to_owned()
            }
        }
    }
}

impl Console {
    /// Reads a body of at most as many bytes as a file may have, and `more`.
    pub(crate) async fn upload(&self, body: Body, more: usize) -> Result<Vec<u8>, Unread> {
        let bytes_max = self.attachment_bytes_max.saturating_add(more);
        let reading = async {
            let turn = self.uploads.acquire().await;
            let _turn = turn.map_err(|_| Unread::Aborted)?;
            let mut whole = Vec::new();
            let mut stream = body.into_data_stream();
            while let Some(part) = stream.next().await {
                let part = part.map_err(|_| Unread::Aborted)?;
                if whole.len() + part.len() > bytes_max {
                    return Err(Unread::TooLarge);
                }
                whole.extend_from_slice(&part);
            }
            Ok(whole)
        };
        let read = tokio::time::timeout(SENDING_MAX, reading).await;
        read.unwrap_or(Err(Unread::TooSlow))
    }
}
