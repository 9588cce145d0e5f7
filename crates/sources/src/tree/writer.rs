//! Names who wrote a file, by fanotify on the file systems that a tree lies on: a second witness beside the watch of paths.
//!
//! A thread of its own hears each time a file that was open for writing is closed, asks `/proc` at once who closed it, and
//! remembers that by device and inode, so that a file that is moved into place names its writer, too. What is lost here – a process
//! that is gone, a queue that ran over – costs the name and never the change. Invariant: no name rather than a wrong one, so what
//! makes a remembered name doubtful takes it away. After fanotify(7), fanotify_init(2) and fanotify_mark(2).

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags};

use super::marks::{ignore_own, mark};
use super::process::{PROC_BYTES_MAX, Process, text};
use super::scan::State;

/// Files remembered in the younger half; as many again in the older.
const FILES_MAX: usize = 16_384;
/// Bytes of texts remembered in the younger half; as many again in the older.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// How often in a second events are taken the moment they come. Waking this thread costs who closes a file more than all the rest, so
/// where there are more they are taken together.
const AT_ONCE_MAX: u32 = 200;
/// How long they gather then, in milliseconds.
const GATHER_MILLISECONDS: u8 = 1;
/// Reads of the system's queue, of 170 events each, until who asked hears that all is remembered: as many as it holds.
const READS_MAX: usize = 128;
/// How long is waited for that in each second: who wrote may not hold up what changed, however much is written elsewhere.
const CATCH_UP: Duration = Duration::from_millis(200);
/// File systems below the root that are listened to.
const MOUNTS_MAX: usize = 64;
/// What it wants, by bit (capabilities(7)): to listen, to be given files of others, and to see which programs they run.
const CAPABILITIES: [(u32, &str); 3] = [
    (21, "CAP_SYS_ADMIN"),
    (2, "CAP_DAC_READ_SEARCH"),
    (19, "CAP_SYS_PTRACE"),
];

/// A file, whatever its name: device and inode.
type Inode = (u64, u64);

/// That a file was closed.
struct Closed {
    /// Its size then, and when it was written last, in nanoseconds since 1970.
    bytes: u64,
    modified: i64,
    /// Nobody when it was gone already.
    writer: Option<Arc<Process>>,
}

/// Who closed which file last; the older half goes when the younger is full.
#[derive(Default)]
struct Known {
    young: BTreeMap<Inode, Closed>,
    young_bytes: usize,
    old: BTreeMap<Inode, Closed>,
}

impl Known {
    fn put(&mut self, file: Inode, closed: Closed) {
        if self.young.len() >= FILES_MAX || self.young_bytes >= TEXT_BYTES_MAX {
            (self.old, self.young_bytes) = (std::mem::take(&mut self.young), 0);
        }
        self.young_bytes += closed.writer.as_deref().map_or(0, Process::text_bytes);
        self.young.insert(file, closed);
    }

    fn get(&self, file: Inode) -> Option<&Closed> {
        self.young.get(&file).or_else(|| self.old.get(&file))
    }
}

/// What the thread and the source share.
#[derive(Default)]
struct Heard {
    known: Known,
    /// Events are being read: what the system's queue doesn't hold any more may not be known yet.
    is_reading: bool,
    /// Processes that were gone when they were asked for.
    gone: u64,
    /// How often the system's queue ran over.
    overflows: u64,
    /// Events whose file couldn't be opened.
    unopened: u64,
    /// Changes told with who wrote, with as much as was left of it, and without.
    named: u64,
    named_partly: u64,
    unnamed: u64,
    /// No event comes any more.
    is_over: bool,
}

impl Heard {
    /// Events were lost, of whichever files: any of them may have another writer now.
    fn doubt(&mut self) {
        self.known = Known::default();
    }

    /// Whether the file as it was read is the one whose closing was heard of, so that nothing newer can be on its way.
    fn is_sure(&self, read: &State) -> bool {
        self.known
            .get(inode(read))
            .is_some_and(|closed| (closed.bytes, closed.modified) == (read.size, read.modified))
    }

    /// Who closed a file last, where all is known that was closed before. One that is longer or shorter by now was written by
    /// somebody else since; its time anybody may set.
    fn of(&mut self, read: &State, is_all_known: bool) -> Option<Arc<Process>> {
        let known = if is_all_known || self.is_sure(read) {
            self.known.get(inode(read))
        } else {
            None
        };
        let same = known.filter(|closed| closed.bytes == read.size);
        let writer = same.and_then(|closed| closed.writer.clone());
        let count = match &writer {
            Some(writer) if writer.executable.is_empty() => &mut self.named_partly,
            Some(_) => &mut self.named,
            None => &mut self.unnamed,
        };
        *count += 1;
        writer
    }

    fn words(&self, unheard: usize) -> String {
        let mut words = if self.is_over {
            "who wrote is not known: fanotify tells nothing any more".to_owned()
        } else {
            "fanotify tells who wrote".to_owned()
        };
        if unheard > 0 {
            words.push_str(&format!(" but on {unheard} of its mounts"));
        }
        let (whole, part, not) = (self.named, self.named_partly, self.unnamed);
        if whole + part + not > 0 {
            words.push_str(&format!(
                ": of {whole} changes, of {part} in part since the program had ended, of {not} not"
            ));
        }
        let losses = [
            (self.gone, "closed a file anywhere and were gone"),
            (self.unopened, "closed files couldn't be looked at"),
            (
                self.overflows,
                "times the system's queue ran over (fs.fanotify.max_queued_events), which costs names and no change",
            ),
        ];
        for (count, what) in losses.iter().filter(|(count, _)| *count > 0) {
            words.push_str(&format!("; {count} {what}"));
        }
        words
    }
}

/// Listens until it is dropped, or says why it can't.
pub(super) struct Writers(Result<Listener, String>);

struct Listener {
    group: Arc<Fanotify>,
    heard: Arc<Mutex<Heard>>,
    /// Who wants to hear that all is remembered, and what wakes the thread to see that; it ends with this.
    asked: SyncSender<SyncSender<bool>>,
    wake: UnixStream,
    /// How long was waited for that, since when.
    waited: Cell<(Instant, Duration)>,
    /// File systems below the root that can't be listened to.
    unheard: usize,
}

impl Writers {
    pub(super) fn new(root: &Path) -> Self {
        Self(Listener::new(root))
    }

    /// Before it is begun.
    pub(super) fn none() -> Self {
        Self(Err("nobody listens yet".to_owned()))
    }

    /// Who closed a file last before it was read, where that is known.
    pub(super) fn of(&self, read: &State) -> Option<Arc<Process>> {
        let listener = self.0.as_ref().ok()?;
        let is_sure = lock(&listener.heard).is_sure(read);
        let is_all_known = is_sure || listener.catch_up();
        lock(&listener.heard).of(read, is_all_known)
    }

    /// What it does, or why not and how to allow it.
    pub(super) fn words(&self) -> String {
        match &self.0 {
            Ok(listener) => lock(&listener.heard).words(listener.unheard),
            Err(why) => format!("who wrote is not known: {why}"),
        }
    }
}

impl Listener {
    /// Waits, a moment at most, until all that was closed up to now is known; tells whether it is.
    fn catch_up(&self) -> bool {
        let mut group = [PollFd::new(self.group.as_fd(), PollFlags::POLLIN)];
        let waits = poll(&mut group, PollTimeout::ZERO) != Ok(0);
        if !waits && !lock(&self.heard).is_reading {
            return true;
        }
        let now = Instant::now();
        let (mut since, mut spent) = self.waited.get();
        if now.duration_since(since) >= Duration::from_secs(1) {
            (since, spent) = (now, Duration::ZERO);
        }
        let patience = CATCH_UP.saturating_sub(spent);
        let (told, caught_up) = sync_channel(1);
        // Of a thread that hasn't answered the last time nothing is waited for.
        let is_asked = !patience.is_zero()
            && self.asked.try_send(told).is_ok()
            && (&self.wake).write(&[0]).is_ok();
        let is_all_known = is_asked && caught_up.recv_timeout(patience) == Ok(true);
        self.waited.set((since, spent + now.elapsed()));
        is_all_known
    }

    fn new(root: &Path) -> Result<Self, String> {
        let (status, _) = text(Path::new("/proc/self/status"), PROC_BYTES_MAX).unwrap_or_default();
        let lacking = lacking(&status);
        // Asked first: a sandbox may end who calls what it forbids.
        if !lacking.is_empty() {
            return Err(format!(
                "fanotify wants {} (docs/sources.md says how to allow it)",
                lacking.join(", ")
            ));
        }
        let refused = |error: Errno| format!("the system refuses fanotify: {}", error.desc());
        // Files are opened as little as the system allows: to be told apart, not read. A pipe isn't waited for.
        let group = Fanotify::init(
            InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK,
            EventFFlags::O_RDONLY
                | EventFFlags::O_LARGEFILE
                | EventFFlags::O_CLOEXEC
                | EventFFlags::O_NONBLOCK,
        )
        .map_err(refused)?;
        ignore_own(&group).map_err(refused)?;
        mark(&group, root).map_err(refused)?;
        let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
        let unheard = mounts_below(root, &mounts)
            .into_iter()
            .enumerate()
            .filter(|(at, mount)| *at >= MOUNTS_MAX || mark(&group, mount).is_err())
            .count();
        let group = Arc::new(group);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (ours, theirs) = (Arc::clone(&group), Arc::clone(&heard));
        let (asked, asking) = sync_channel(1);
        let failed = |error: std::io::Error| format!("no thread can listen: {error}");
        let (wake, woken) = UnixStream::pair().map_err(failed)?;
        wake.set_nonblocking(true).map_err(failed)?;
        std::thread::Builder::new()
            .name("fanotify".to_owned())
            .spawn(move || {
                listen(&ours, &woken, &asking, &theirs);
                let mut heard = lock(&theirs);
                heard.doubt();
                heard.is_over = true;
            })
            .map_err(failed)?;
        Ok(Self {
            group,
            heard,
            asked,
            wake,
            waited: Cell::new((Instant::now(), Duration::ZERO)),
            unheard,
        })
    }
}

/// Takes events until nobody is there to ask any more, or the system gives none.
fn listen(
    group: &Fanotify,
    mut woken: &UnixStream,
    asking: &Receiver<SyncSender<bool>>,
    heard: &Mutex<Heard>,
) {
    let (mut since, mut taken) = (Instant::now(), 0);
    loop {
        if since.elapsed() >= Duration::from_secs(1) {
            (since, taken) = (Instant::now(), 0);
        } else if taken >= AT_ONCE_MAX {
            // Who asks isn't kept waiting.
            let mut only = [PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
            let _asked = poll(&mut only, GATHER_MILLISECONDS);
        }
        let mut ready = [
            PollFd::new(woken.as_fd(), PollFlags::POLLIN),
            PollFd::new(group.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        }
        let [wake, events] = ready.map(|one| one.any().unwrap_or(true));
        let mut took = Took::Nothing;
        if wake {
            match woken.read(&mut [0; 16]) {
                Ok(0) => return,
                Err(error) if error.kind() != ErrorKind::Interrupted => return,
                Ok(_) | Err(_) => {}
            }
            for asked in asking.try_iter() {
                let mut reads = 0..READS_MAX;
                took = loop {
                    match take(group, heard) {
                        Took::Events if reads.next().is_some() => {}
                        took => break took,
                    }
                };
                // Who asked may have given up.
                let _heard = asked.try_send(took == Took::Nothing);
            }
        } else if events {
            took = take(group, heard);
            taken += 1;
        }
        if took == Took::Over {
            return;
        }
    }
}

/// What one read of the system's queue gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Took {
    Events,
    Nothing,
    /// There will be none any more.
    Over,
}

fn take(group: &Fanotify, heard: &Mutex<Heard>) -> Took {
    lock(heard).is_reading = true;
    let took = match group.read_events() {
        Ok(events) => {
            // A process is asked for once in a batch.
            let mut asked = BTreeMap::new();
            let is_known = events.iter().all(FanotifyEvent::check_version);
            events
                .iter()
                .for_each(|event| hear(event, &mut asked, heard));
            if is_known { Took::Events } else { Took::Over }
        }
        Err(Errno::EAGAIN) => Took::Nothing,
        Err(Errno::EINTR) => Took::Events,
        Err(Errno::EBADF | Errno::EINVAL | Errno::EFAULT) => Took::Over,
        // The event is gone with the file that couldn't be opened.
        Err(_) => {
            let mut heard = lock(heard);
            heard.unopened += 1;
            heard.doubt();
            Took::Events
        }
    };
    lock(heard).is_reading = false;
    took
}

fn hear(
    event: &FanotifyEvent,
    asked: &mut BTreeMap<i32, Option<Arc<Process>>>,
    heard: &Mutex<Heard>,
) {
    let Some(descriptor) = event.fd() else {
        let mut heard = lock(heard);
        heard.overflows += 1;
        heard.doubt();
        return;
    };
    let metadata = descriptor
        .try_clone_to_owned()
        .and_then(|own| File::from(own).metadata());
    let Ok(metadata) = metadata else {
        let mut heard = lock(heard);
        heard.unopened += 1;
        heard.doubt();
        return;
    };
    // What has no name any more will not be told of.
    if !metadata.is_file() || metadata.nlink() == 0 {
        return;
    }
    let process = event.pid();
    let writer = asked
        .entry(process)
        .or_insert_with(|| Process::read(Path::new("/proc"), process).map(Arc::new))
        .clone();
    let state = State::of(&metadata);
    let mut heard = lock(heard);
    heard.gone += u64::from(writer.is_none());
    heard.known.put(
        inode(&state),
        Closed {
            bytes: state.size,
            modified: state.modified,
            writer,
        },
    );
}

const fn inode(state: &State) -> Inode {
    (state.device, state.inode)
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names of the capabilities that a process lacks, by its `status` in `/proc`.
fn lacking(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let has = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let has = has.unwrap_or_default();
    let lacks = |(bit, _): &&(u32, &str)| has >> *bit & 1 == 0;
    CAPABILITIES
        .iter()
        .filter(lacks)
        .map(|(_, name)| *name)
        .collect()
}

/// Where other file systems begin below a folder, by `/proc/self/mountinfo` (proc(5)).
fn mounts_below(root: &Path, mountinfo: &[u8]) -> Vec<PathBuf> {
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|place| PathBuf::from(OsStr::from_bytes(&unescaped(place))))
        .filter(|place| place != root && place.starts_with(root))
        .collect()
}

/// Undoes `\040` and the like.
fn unescaped(mut rest: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| {
            let digit = after.get(at)?.checked_sub(b'0')?;
            (digit < 8).then_some(digit)
        };
        let code = match (digit(0), digit(1), digit(2)) {
            (Some(high @ 0..=3), Some(mid), Some(low)) if *first == b'\\' => {
                Some(high * 64 + mid * 8 + low)
            }
            _ => None,
        };
        plain.push(code.unwrap_or(*first));
        rest = after
            .get(if code.is_some() { 3 } else { 0 }..)
            .unwrap_or_default();
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use super::{Closed, FILES_MAX, Heard, Known, Process, lacking, mounts_below};
    use crate::tree::process::COMMAND_BYTES_MAX;
    use crate::tree::scan::State;

    fn writer(number: i32, command: &str) -> Option<Arc<Process>> {
        Some(Arc::new(Process {
            number,
            executable: "/usr/bin/php8.2".to_owned(),
            parent: String::new(),
            command: command.to_owned(),
            user: 33,
            login: None,
        }))
    }

    fn closed(bytes: u64, writer: Option<Arc<Process>>) -> Closed {
        Closed {
            bytes,
            modified: 1,
            writer,
        }
    }

    #[test]
    fn who_closed_last_is_remembered_and_memory_is_bounded() {
        let mut known = Known::default();
        for inode in 0..3 * FILES_MAX as u64 {
            known.put((1, inode), closed(1, writer(1, "cp")));
            assert!(known.young.len() + known.old.len() <= 2 * FILES_MAX);
        }
        assert!(known.get((1, 0)).is_none() && known.get((2, 3 * FILES_MAX as u64 - 1)).is_none());
        let last = (1, 3 * FILES_MAX as u64 - 1);
        assert!(
            known
                .get(last)
                .is_some_and(|closed| closed.writer.is_some())
        );
        known.put(last, closed(1, None));
        assert!(
            known
                .get(last)
                .is_some_and(|closed| closed.writer.is_none())
        );
        let mut known = Known::default();
        let long = "x".repeat(COMMAND_BYTES_MAX);
        for inode in 0..FILES_MAX as u64 {
            known.put((1, inode), closed(1, writer(1, &long)));
        }
        assert!(known.young.len() + known.old.len() < 5000);
    }

    #[test]
    fn what_is_doubtful_names_nobody() {
        let mut heard = Heard::default();
        let state = |device, inode, size| State {
            device,
            inode,
            size,
            ..State::default()
        };
        heard.known.put((1, 5), closed(10, writer(7, "php")));
        assert!(heard.of(&state(1, 5, 10), true).is_some());
        let mut ended = writer(7, "[php]").expect("made");
        Arc::make_mut(&mut ended).executable.clear();
        heard.known.put((1, 6), closed(10, Some(ended)));
        assert!(heard.of(&state(1, 6, 10), true).is_some());
        // Where something newer may be on its way, only of the very file that was closed.
        assert!(heard.of(&state(1, 5, 10), false).is_none());
        let very = State {
            modified: 1,
            ..state(1, 5, 10)
        };
        assert!(heard.of(&very, false).is_some());
        // The same number elsewhere, and a file that grew since.
        assert!(heard.of(&state(2, 5, 10), true).is_none());
        assert!(heard.of(&state(1, 5, 11), true).is_none());
        // Somebody else closed it and was gone.
        heard.known.put((1, 5), closed(10, None));
        assert!(heard.of(&state(1, 5, 10), true).is_none());
        heard.known.put((1, 5), closed(10, writer(7, "php")));
        heard.doubt();
        assert!(heard.of(&state(1, 5, 10), true).is_none());
        heard.overflows = 2;
        assert_eq!(
            heard.words(0),
            "fanotify tells who wrote: of 2 changes, of 1 in part since the program had ended, of 5 not; \
             2 times the system's queue ran over (fs.fanotify.max_queued_events), which costs names and no change"
        );
    }

    #[test]
    fn says_what_it_lacks() {
        assert_eq!(lacking("CapEff:\t000001ffffffffff\n"), [""; 0]);
        assert_eq!(
            lacking("CapInh:\t0\nCapEff:\t0000000000200004\n"),
            ["CAP_SYS_PTRACE"]
        );
        assert_eq!(lacking("").len(), 3);
    }

    #[test]
    fn mounts_below_the_root_are_found_whatever_their_names() {
        let mountinfo = b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            30 21 0:30 / /srv/shop/pub/media rw shared:1 - nfs4 nas:/media rw\n\
            31 21 0:31 / /srv/shop/var/a\\040b\\134 rw - tmpfs tmpfs rw\n\
            32 21 0:32 / /srv/shop2 rw - tmpfs tmpfs rw\n\
            33 21 0:33 / /srv/shop rw - ext4 /dev/sdb1 rw\nbroken\n";
        assert_eq!(
            mounts_below(Path::new("/srv/shop"), mountinfo),
            [
                PathBuf::from("/srv/shop/pub/media"),
                PathBuf::from("/srv/shop/var/a b\\")
            ]
        );
    }
}
