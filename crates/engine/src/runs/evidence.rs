//! Evidence of a run, masked, on disk before anything is changed.

use std::path::PathBuf;

use model::{Arguments, Piece};
use responders::{Evidence, Host};

use super::{Place, make_ours, write_whole};
use crate::attach::{hash_of, mask_all};

/// Characters of a piece's name in its file's name.
const NAME_MAX: usize = 80;

/// Gathers, masks and keeps; gives what was kept.
///
/// # Errors
///
/// Where it could not be written, and why.
pub(super) fn keep(
    place: &Place,
    host: &Host,
    run: &str,
    step: usize,
    arguments: &Arguments,
) -> Result<Vec<Piece>, (PathBuf, std::io::Error)> {
    let folder = place.evidence().join(run).join(format!("{:03}", step + 1));
    make_ours(&folder).map_err(|error| (folder.clone(), error))?;
    let gathered = responders::gather(host, arguments);
    let kept = gathered.into_iter().enumerate().map(|(at, one)| {
        let path = folder.join(format!("{:02}-{}", at + 1, file_name(&one.name)));
        let piece = masked(one);
        host.step(&path)
            .map_err(|error| (path.clone(), std::io::Error::other(error.to_string())))?;
        write_whole(&path, &piece.1).map_err(|error| (path, error))?;
        Ok(piece.0)
    });
    kept.collect()
}

/// A piece as it is kept: what can't be masked isn't.
fn masked(one: Evidence) -> (Piece, Vec<u8>) {
    let Evidence {
        mut name,
        mut content,
        mut lacks,
    } = one;
    crate::hide::hide(&mut name);
    crate::hide::hide(&mut lacks);
    if let Err(why) = mask_all(&mut content) {
        content.clear();
        lacks = format!("its content isn't kept, since it can't be masked: {why}");
    }
    let piece = Piece {
        name,
        bytes: content.len() as u64,
        hash: hash_of(&content),
        lacks,
    };
    (piece, content)
}

/// A name without anything that leads elsewhere.
fn file_name(name: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || ".-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    name.chars().take(NAME_MAX).map(fine).collect()
}
