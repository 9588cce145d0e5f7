//! Asks the root helper.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::carry::Told;
use super::operation::REPLY_BYTES_MAX;
use super::{Operation, Reply};
use crate::ActionError;
use crate::network::Network;

/// Longer than any operation takes, and than one that is carried out for somebody else before it.
const LIMIT: Duration = Duration::from_secs(75);

/// Asks it and waits for what comes of it.
pub(crate) fn ask(socket: &Path, operation: &Operation) -> Result<Told, ActionError> {
    let failed = |how: String| ActionError::Root {
        operation: operation.to_string(),
        how,
    };
    let told = exchange(socket, &operation.line());
    let told = told.map_err(|error| failed(format!("{}: {error}", socket.display())))?;
    match Reply::read(&told) {
        Ok(Reply::Done {}) => Ok(None),
        Ok(Reply::Networks { networks }) => {
            let networks: Option<_> = networks.iter().map(|one| Network::read(one)).collect();
            let networks =
                networks.ok_or_else(|| failed("it tells of what is no network".to_owned()))?;
            Ok(Some(networks))
        }
        Ok(Reply::Refused { why }) => Err(ActionError::refused(format!(
            "the root helper refuses: {why}"
        ))),
        Ok(Reply::Failed { why }) => Err(failed(why)),
        Err(_) if told.is_empty() => Err(failed("it ended before it answered".to_owned())),
        Err(error) => Err(failed(format!("its answer can't be read: {error}"))),
    }
}

fn exchange(socket: &Path, line: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let end = Instant::now() + LIMIT;
    let mut link = UnixStream::connect(socket)?;
    link.set_write_timeout(Some(LIMIT))?;
    match link.write_all(line) {
        // Whom it refuses it doesn't hear out; why stands in its answer.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let (mut answer, mut part) = (Vec::new(), [0; 16 << 10]);
    while !answer.ends_with(b"\n") && answer.len() < REPLY_BYTES_MAX {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        link.set_read_timeout(Some(left))?;
        match link.read(&mut part) {
            Ok(0) => break,
            Ok(read) => answer.extend(part.iter().take(read)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}
