//! What fanotify is asked to tell: all of the file systems a tree lies on, but nothing of this process's own files.

use std::fs::File;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::fanotify::{Fanotify, MarkFlags, MaskFlags};

/// Leaves out the files that this process has open: an event brings a descriptor, and closing it would end every lock the process
/// holds on that file (fcntl_locking(2)), those of the state's database among them, which others then take for theirs.
///
/// By the descriptors that are open, since to open a file anew and close it would do the same.
pub(super) fn ignore_own(group: &Fanotify) -> Result<(), Errno> {
    let own = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    for descriptor in own.flatten().map(|entry| entry.path()) {
        if !std::fs::metadata(&descriptor).is_ok_and(|file| file.is_file()) {
            continue;
        }
        group.mark(
            MarkFlags::FAN_MARK_ADD
                | MarkFlags::FAN_MARK_IGNORED_MASK
                | MarkFlags::FAN_MARK_IGNORED_SURV_MODIFY,
            MaskFlags::FAN_CLOSE_WRITE,
            nix::fcntl::AT_FDCWD,
            Some(&descriptor),
        )?;
    }
    Ok(())
}

/// Listens to the whole file system a folder lies on: who writes may see it by another mount, in a sandbox or a container.
pub(super) fn mark(group: &Fanotify, folder: &Path) -> Result<(), Errno> {
    let folder = File::open(folder).map_err(|error| {
        error
            .raw_os_error()
            .map_or(Errno::UnknownErrno, Errno::from_raw)
    })?;
    group.mark(
        MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM,
        MaskFlags::FAN_CLOSE_WRITE,
        &folder,
        None::<&Path>,
    )
}
