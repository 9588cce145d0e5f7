//! Opening: what is on disk must go on from the last checkpoint, or it is set aside.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use custody::{Checkpoint, Header, Tree, hash_leaf};
use model::{InstallationId, Sequence};
use parse::Context;
use stores::{BLOCK_ENTRIES, BlockIndex, Cut, SegmentFiles, StoreError};

use super::keys::{Keys, PayloadKeys};
use super::{BLOCK_LEVEL, Ledger, LedgerError, Opening};
use crate::intake;

/// Entries after which what is made of the index is written, while it is made again.
const WRITE_ENTRIES: u64 = 16 * BLOCK_ENTRIES;

impl LedgerError {
    /// Whether the ledger's own bytes are not what was written, and not the machine at fault.
    #[must_use]
    pub fn is_break(&self) -> bool {
        match self {
            Self::Store {
                source: StoreError::Corrupt { .. } | StoreError::Short { .. },
            }
            | Self::Entry { .. }
            | Self::Payload { .. }
            | Self::Changed { .. }
            | Self::Checkpoint { .. } => true,
            Self::Store {
                source: StoreError::Io { source, .. },
            } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether the disk is full: what failed may succeed later.
    #[must_use]
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Io { source, .. } => stores::is_full_disk(source),
            Self::Store { source } => source.is_full_disk(),
            _ => false,
        }
    }
}

impl Ledger {
    /// Opens a ledger to write, making it and its keys (0600) when absent. `context` tells how
    /// records were read, for finding the newest entries by what they name.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files or keys can't be used, or another process writes to it. A ledger
    /// that isn't what was signed for is no error: it is set aside, read-only, and a new one begins.
    pub fn create_or_open(
        folder: &Path,
        keys: &Path,
        installation: &InstallationId,
        second_place: Option<&Path>,
        context: &Context,
    ) -> Result<(Self, Opening), LedgerError> {
        let fresh = !folder.join("segments").exists();
        // A key that can't be used is no break of the ledger.
        Keys::load_or_make(keys)?;
        let open = || {
            let keys = Keys::load_or_make(keys)?;
            let origin = origin(folder, installation)?;
            Self::open_checked(folder, keys, origin, second_place, context)
        };
        let mut opened = open();
        if opened.as_ref().is_err_and(LedgerError::is_break) {
            // The index is derived: where it is what doesn't fit, it is made again.
            BlockIndex::clear(folder)?;
            opened = open();
        }
        let error = match opened {
            Ok((ledger, cut)) => {
                let opening = if fresh {
                    Opening::Fresh
                } else {
                    Opening::Resumed {
                        size: ledger.len(),
                        cut,
                    }
                };
                return Ok((ledger, opening));
            }
            Err(error) if error.is_break() => error,
            Err(error) => return Err(error),
        };
        let broken = Self::set_aside(folder, installation, &error)?;
        let (ledger, _) = Self::create_or_open(folder, keys, installation, second_place, context)?;
        Ok((ledger, broken))
    }

    /// Sets a ledger aside, read-only, that isn't what was sealed; the next one to be opened there is a new one.
    ///
    /// Nobody may blind us by flipping a bit: the old one is kept as it is, and collection goes on.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when its folder can't be moved.
    pub fn set_aside(
        folder: &Path,
        installation: &InstallationId,
        why: &LedgerError,
    ) -> Result<Opening, LedgerError> {
        let last_checkpoint = fs::read_to_string(folder.join("checkpoint")).ok();
        let (number, aside) = (1_u32..)
            .map(|number| (number, folder.with_extension(format!("broken-{number}"))))
            .find(|(_, path)| !path.exists())
            .unwrap_or_else(|| (0, folder.with_extension("broken")));
        let io = |source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        };
        fs::rename(folder, &aside).map_err(io)?;
        set_read_only(&aside).map_err(io)?;
        // Another ledger has another origin: what was signed of the old one says nothing of it.
        fs::create_dir_all(folder).map_err(io)?;
        let name = format!("{}/{}", first_origin(installation), number + 1);
        stores::write_atomically(&folder.join("origin"), name.as_bytes())?;
        Ok(Opening::Broken {
            aside,
            why: chain(why),
            last_checkpoint,
        })
    }

    /// Opens a ledger to read. `context` as in [`Self::create_or_open`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files or keys can't be read.
    pub fn open_read(folder: &Path, keys: &Path, context: &Context) -> Result<Self, LedgerError> {
        let keys = Keys::load(keys)?;
        let (index, ends) = BlockIndex::open(folder, false)?;
        let files = SegmentFiles::open_read(&folder.join("segments"), &ends)?;
        let mut ledger = Self::new(folder, files, index, keys, String::new());
        ledger.read_tail(context)?;
        Ok(ledger)
    }

    /// Takes in what was sealed since it was opened to read.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it can't be read.
    pub fn look_again(&mut self, context: &Context) -> Result<(), LedgerError> {
        self.files.look_again()?;
        self.read_new(context)
    }

    fn new(
        folder: &Path,
        files: SegmentFiles,
        index: BlockIndex,
        keys: Keys,
        origin: String,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            files,
            tree: Tree::default(),
            leaves: Vec::new(),
            index,
            payload_keys: PayloadKeys::new(folder.join("payload-keys")),
            keys,
            origin,
            second_place: None,
            last_checkpoint: fs::read_to_string(folder.join("checkpoint")).ok(),
        }
    }

    fn open_checked(
        folder: &Path,
        keys: Keys,
        origin: String,
        second_place: Option<&Path>,
        context: &Context,
    ) -> Result<(Self, Cut), LedgerError> {
        let signer = custody::Signer::new(&origin, keys.checkpoint);
        fs::create_dir_all(folder.join("segments")).map_err(|source| LedgerError::Io {
            path: folder.to_owned(),
            source,
        })?;
        let signed = last_signed(folder, second_place, &signer)?;
        let promised = signed.as_ref().map_or(0, |checkpoint| checkpoint.size);
        let (index, ends) = BlockIndex::open(folder, true)?;
        let (files, cut) = SegmentFiles::open(&folder.join("segments"), &ends, promised)?;
        let mut ledger = Self::new(folder, files, index, keys, origin);
        ledger.second_place = second_place.map(Path::to_owned);
        ledger.read_tail(context)?;
        if let Some(checkpoint) = signed
            && ledger.root_over(0..checkpoint.size)? != checkpoint.root
        {
            return Err(LedgerError::Changed {
                size: checkpoint.size,
            });
        }
        let verifier = signer.verifier().encode();
        stores::write_atomically(&folder.join("verifier.key"), verifier.as_bytes())?;
        Ok((ledger, cut))
    }

    /// Takes the blocks the index knows into the tree, and reads the entries after them.
    fn read_tail(&mut self, context: &Context) -> Result<(), LedgerError> {
        for block in 0..self.index.blocks() {
            if let Some(root) = self.index.root(block) {
                self.tree.push_subtree(root, BLOCK_LEVEL);
            }
        }
        self.read_new(context)
    }

    /// Reads the entries that the tree doesn't know.
    fn read_new(&mut self, context: &Context) -> Result<(), LedgerError> {
        for number in self.tree.size()..self.files.len() {
            let sequence = Sequence(number);
            let Some(row) = self.files.read(number)? else {
                break;
            };
            let header = Header::decode(&row.leaf)
                .map_err(|source| LedgerError::Entry { sequence, source })?;
            // What names an entry's actors lies in its payload alone: destroyed with it.
            let tokens = if super::redact::is_destroyed(&row.payload) {
                Vec::new()
            } else {
                let salted = self.open(&header, &row.payload)?;
                let payload = salted.get(16..).unwrap_or_default();
                intake::tokens(self.token_key(), &header.format, payload, context)
            };
            self.note(&header, hash_leaf(&row.leaf), &tokens);
            // An index that is made again has more than memory should hold.
            if self.len().is_multiple_of(WRITE_ENTRIES) {
                self.index.write()?;
            }
        }
        self.index.write()?;
        Ok(())
    }
}

/// The name of an installation's first ledger; a key's name holds no blanks and no `+`.
fn first_origin(installation: &InstallationId) -> String {
    format!(
        "magewarden/{}",
        installation.0.replace([' ', '+', '\n'], "_")
    )
}

/// The ledger's name in its checkpoints.
fn origin(folder: &Path, installation: &InstallationId) -> Result<String, LedgerError> {
    let path = folder.join("origin");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(first_origin(installation))
        }
        read => read.map_err(|source| LedgerError::Io { path, source }),
    }
}

/// The newest checkpoint that was signed, of the ledger's own and those in the second place.
fn last_signed(
    folder: &Path,
    second_place: Option<&Path>,
    signer: &custody::Signer,
) -> Result<Option<Checkpoint>, LedgerError> {
    let verifier = signer.verifier();
    let mut newest: Option<Checkpoint> = None;
    let mut take = |checkpoint: Checkpoint| {
        if newest
            .as_ref()
            .is_none_or(|known| known.size <= checkpoint.size)
        {
            newest = Some(checkpoint);
        }
    };
    // Written aside and renamed: whatever is wrong with it is no torn write.
    if let Ok(note) = fs::read_to_string(folder.join("checkpoint")) {
        let checkpoint = verifier
            .verify(&note)
            .map_err(|source| LedgerError::Checkpoint { source })?;
        take(checkpoint);
    }
    let copies = [
        Some(folder.join("checkpoints.log")),
        second_place.map(Path::to_owned),
    ];
    for path in copies.into_iter().flatten() {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let whole = text.rfind("\n\n").map_or(0, |at| at + 2);
        if whole < text.len() {
            cut(&path, whole as u64)?;
        }
        let text = text.get(..whole).unwrap_or_default();
        if let Some(checkpoint) = super::verify::notes_of(text)
            .last()
            .and_then(|note| verifier.verify(note).ok())
        {
            take(checkpoint);
        }
    }
    Ok(newest)
}

/// Cuts a file of notes back to its last whole one: what a kill tore was never acknowledged.
fn cut(path: &Path, length: u64) -> Result<(), LedgerError> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.set_len(length).and_then(|()| file.flush()))
        .map_err(|source| LedgerError::Io {
            path: path.to_owned(),
            source,
        })
}

/// Takes the permission to write from a folder and all below it.
fn set_read_only(path: &Path) -> std::io::Result<()> {
    let is_folder = path.is_dir();
    if is_folder {
        for entry in fs::read_dir(path)? {
            set_read_only(&entry?.path())?;
        }
    }
    let mode = if is_folder { 0o500 } else { 0o400 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
