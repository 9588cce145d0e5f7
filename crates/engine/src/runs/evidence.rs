//! Evidence of a run, masked, on disk before anything is changed.

use std::path::PathBuf;

use model::{Arguments, Piece};
use playbook::Run;
use responders::{Evidence, Host};

use stores::write_atomically;

use super::{Place, make_ours};
use crate::attach::{hash_of, mask_settled};

/// Characters of a piece's name in its file's name.
const NAME_MAX: usize = 80;

/// Gathers, masks and keeps; gives what was kept.
///
/// # Errors
///
/// Why something that the step names could not be had or kept: what changes it has to wait then. What could be had is on disk
/// all the same.
pub(super) fn keep(
    place: &Place,
    host: &Host,
    run: &str,
    step: usize,
    arguments: &Arguments,
) -> Result<Vec<Piece>, String> {
    let folder = folder(place, run, step);
    make_ours(&folder).map_err(|error| format!("can't make {}: {error}", folder.display()))?;
    let (mut pieces, mut lacks) = (Vec::new(), None);
    for (at, one) in responders::gather(host, arguments).into_iter().enumerate() {
        let is_named = one.is_named;
        let (piece, content) = masked(one);
        let path = path(place, run, step, at, &piece.name);
        host.step(&path).map_err(|error| error.to_string())?;
        write_atomically(&path, &content).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })?;
        if is_named && content.is_empty() {
            lacks = lacks.or_else(|| Some(format!("{} isn't kept: {}", piece.name, piece.lacks)));
        }
        pieces.push(piece);
    }
    lacks.map_or(Ok(pieces), Err)
}

/// A piece of a run that is kept here, by its hash; nothing where it is gone, or isn't what was kept.
pub(crate) fn find(place: &Place, run: &Run, hash: &str) -> Option<Vec<u8>> {
    let steps = run.steps.iter().enumerate();
    let mut pieces = steps.flat_map(|(step, one)| {
        let pieces = one.pieces.iter().enumerate();
        pieces.map(move |(at, piece)| (step, at, piece))
    });
    let (step, at, piece) = pieces.find(|(.., piece)| piece.hash == hash)?;
    let content = std::fs::read(path(place, &run.id, step, at, &piece.name)).ok()?;
    (hash_of(&content) == hash).then_some(content)
}

fn folder(place: &Place, run: &str, step: usize) -> PathBuf {
    place.evidence().join(run).join(format!("{:03}", step + 1))
}

fn path(place: &Place, run: &str, step: usize, at: usize, name: &str) -> PathBuf {
    folder(place, run, step).join(format!("{:02}-{}", at + 1, file_name(name)))
}

/// A piece as it is kept: what can't be masked isn't.
fn masked(one: Evidence) -> (Piece, Vec<u8>) {
    let Evidence {
        mut name,
        mut content,
        mut lacks,
        is_named: _,
    } = one;
    crate::hide::hide(&mut name);
    crate::hide::hide(&mut lacks);
    // Whoever takes it masks it once more, and it has to stay what it is.
    if let Err(why) = mask_settled(&mut content) {
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
