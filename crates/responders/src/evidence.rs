//! What tells of an attack, before anything is changed: most volatile first (RFC 3227 §2.1).
//!
//! It reads only. What it gives is as it is – it may hold card numbers: whoever keeps it masks it first.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use model::Arguments;
use nix::fcntl::readlinkat;

use crate::cache::Cache;
use crate::host::{Ask, Host};
use crate::nginx::hosts_of_view;
use crate::{ActionError, below, database};

/// Processes that are listed, and bytes of one's command line.
const PROCESSES_MAX: usize = 20_000;
const COMMAND_BYTES_MAX: u64 = 4096;
/// Bytes kept of one table of connections, of a file, of a page.
const TABLE_BYTES_MAX: u64 = 16 << 20;
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Objects of a cache that are listed, and the longest time for it: what comes next is stopping the leak.
const CACHE_OBJECTS_MAX: usize = 20_000;
const CACHE_LIMIT: Duration = Duration::from_millis(300);
const PAGE_LIMIT: Duration = Duration::from_secs(10);
/// Pages of a view that are looked at.
const PAGES: [&str; 2] = ["/", "/checkout/"];

/// A piece of evidence as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it is, e.g. `processes`.
    pub name: String,
    /// Its bytes, unmasked.
    pub content: Vec<u8>,
    /// Why it could not be had, or is cut short; empty when it is whole.
    pub lacks: String,
    /// Whether it was asked for by name: what changes it has to wait for it.
    pub is_named: bool,
}

impl Evidence {
    pub(crate) fn whole(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            content: content.into(),
            lacks: String::new(),
            is_named: false,
        }
    }

    pub(crate) fn none(name: impl Into<String>, lacks: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            content: Vec::new(),
            lacks: lacks.into(),
            is_named: false,
        }
    }

    pub(crate) fn named(self) -> Self {
        Self {
            is_named: true,
            ..self
        }
    }
}

/// Gathers what can be had here: processes, connections, what the database does and what caches hold, always; of what is named – a row, an account, a
/// view's pages, a file – what it is.
///
/// Nothing of it fails the whole: what can't be had says why.
#[must_use]
pub fn gather(host: &Host, arguments: &Arguments) -> Vec<Evidence> {
    let mut out = vec![
        processes(Path::new("/proc")),
        connections(Path::new("/proc")),
    ];
    out.extend(database::evidence::gather(host, arguments));
    cache_objects(host, &mut out);
    if let Some(view) = arguments.get("view") {
        pages(host, view.as_str(), &mut out);
    }
    if let Some(file) = arguments.get("file") {
        out.push(look_at_file(host, file.as_str()).named());
    }
    out
}

fn processes(proc: &Path) -> Evidence {
    let Ok(entries) = fs::read_dir(proc) else {
        return Evidence::none("processes", "/proc can't be read");
    };
    let mut found: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    found.sort_unstable();
    let is_cut = found.len() > PROCESSES_MAX;
    found.truncate(PROCESSES_MAX);
    let mut out = String::from("pid\tparent\tuser\tstarted\tprogram\tcommand\n");
    for pid in found {
        // One that ended meanwhile is left out.
        if let Some(line) = process(&proc.join(pid.to_string()), pid) {
            out.push_str(&line);
        }
    }
    let lacks = if is_cut {
        format!("the first {PROCESSES_MAX} only")
    } else {
        String::new()
    };
    Evidence {
        lacks,
        ..Evidence::whole("processes", out)
    }
}

fn process(folder: &Path, pid: u32) -> Option<String> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    // The name may hold spaces and brackets: fields are counted from its end (proc_pid_stat(5)).
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let parent = fields.nth(1)?.to_owned();
    let started = fields.nth(17)?.to_owned();
    let user = folder.metadata().ok()?.uid();
    let program = fs::read_link(folder.join("exe"));
    let program = program.map_or_else(|_| "-".to_owned(), |path| path.display().to_string());
    let mut command = Vec::new();
    let file = File::open(folder.join("cmdline")).ok()?;
    file.take(COMMAND_BYTES_MAX)
        .read_to_end(&mut command)
        .ok()?;
    let command = String::from_utf8_lossy(&command).replace(['\0', '\n', '\t'], " ");
    Some(format!(
        "{pid}\t{parent}\t{user}\t{started}\t{}\t{}\n",
        program.replace(['\n', '\t'], " "),
        command.trim_end()
    ))
}

fn connections(proc: &Path) -> Evidence {
    let mut out = String::from("protocol\tlocal\tremote\tstate\tuser\n");
    let mut lacks = String::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6"] {
        let mut text = String::new();
        let read = File::open(proc.join("net").join(protocol))
            .and_then(|file| file.take(TABLE_BYTES_MAX).read_to_string(&mut text));
        if read.is_err() {
            let _infallible = write!(lacks, "no {protocol}; ");
        }
        for line in text.lines().skip(1) {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            if let [_, local, remote, state, _, _, _, user, ..] = fields.as_slice() {
                let (local, remote) = (address(local), address(remote));
                let _infallible = writeln!(out, "{protocol}\t{local}\t{remote}\t{state}\t{user}");
            }
        }
    }
    Evidence {
        lacks,
        ..Evidence::whole("connections", out)
    }
}

/// An address as the kernel writes it – words of 32 bits in the host's order – as people do.
fn address(text: &str) -> String {
    let read = || {
        let (address, port) = text.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let words = address.as_bytes().chunks(8).map(|word| {
            let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
            Some(word.to_ne_bytes())
        });
        let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
        if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
            return Some(format!("{}:{port}", Ipv4Addr::from(four)));
        }
        let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
        Some(format!("[{}]:{port}", Ipv6Addr::from(sixteen)))
    };
    read().unwrap_or_else(|| text.to_owned())
}

/// What Magento's caches hold, by age: what was made before the shop was changed, and what was made of it since.
fn cache_objects(host: &Host, out: &mut Vec<Evidence>) {
    let Some(settings) = &host.settings.cache else {
        return;
    };
    for server in &settings.servers {
        let name = format!(
            "cache objects in database {} at {}",
            server.database, server.at
        );
        let listed = Cache::open(settings, server)
            .and_then(|mut cache| cache.listed(CACHE_OBJECTS_MAX, CACHE_LIMIT));
        out.push(match listed {
            Ok((lines, is_whole)) => {
                let mut content = String::from("seconds old\tseconds left\tbytes\ttags\tkey\n");
                content.extend(lines.iter().map(String::as_str));
                let lacks = match is_whole {
                    true => String::new(),
                    false => format!("the first {} only", lines.len()),
                };
                Evidence {
                    lacks,
                    ..Evidence::whole(name, content)
                }
            }
            Err(error) => Evidence::none(name, error.to_string()),
        });
    }
}

fn pages(host: &Host, view: &str, out: &mut Vec<Evidence>) {
    let Ok(nginx) = host.nginx() else {
        let why = "the host's settings have no part [nginx]";
        out.push(Evidence::none(format!("pages of {view}"), why).named());
        return;
    };
    let hosts = hosts_of_view(host, view);
    let Some(name) = hosts.first() else {
        let why = "no host shows it by itself";
        out.push(Evidence::none(format!("pages of {view}"), why).named());
        return;
    };
    for path in PAGES {
        let ask = Ask {
            host: name.clone(),
            path: path.to_owned(),
            store: None,
        };
        let shown = format!("page {name}{path}");
        let page = match host.world.fetch(nginx.ask, &ask, PAGE_LIMIT) {
            Ok(page) => Evidence::whole(shown, page),
            Err(error) => Evidence::none(shown, error.to_string()),
        };
        out.push(page.named());
    }
}

fn look_at_file(host: &Host, file: &str) -> Evidence {
    let name = format!("file {file}");
    match read_file(host, file) {
        Ok((content, lacks)) => Evidence {
            lacks,
            ..Evidence::whole(name, content)
        },
        Err(error) => Evidence::none(name, error.to_string()),
    }
}

/// What a file is, then its bytes; and what of them is left out.
fn read_file(host: &Host, file: &str) -> Result<(Vec<u8>, String), ActionError> {
    let shown = Path::new(file);
    let (folder, name) = below::folder_of(&host.magento()?.root, file)?;
    if let Ok(target) = readlinkat(&folder, name) {
        let content = format!("path {file}\nleads to {}\n", target.display());
        return Ok((
            content.into_bytes(),
            "it is a link: what it leads to isn't read".to_owned(),
        ));
    }
    let opened = below::open(&folder, name, shown)?;
    let about = opened
        .metadata()
        .map_err(ActionError::file("look at", shown))?;
    let mut content = format!(
        "path {file}\nsize {}\nmode {:o}\nowner {}\ngroup {}\nmodified {}.{:09}\nchanged {}.{:09}\ninode {}\nlinks {}\n\n",
        about.size(),
        about.mode(),
        about.uid(),
        about.gid(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
        about.ino(),
        about.nlink()
    )
    .into_bytes();
    if !about.is_file() {
        return Ok((
            content,
            "it is no plain file: its content isn't read".to_owned(),
        ));
    }
    opened
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut content)
        .map_err(ActionError::file("read", shown))?;
    let lacks = match about.size() {
        size if size > FILE_BYTES_MAX => format!("the first {FILE_BYTES_MAX} of {size} bytes only"),
        _ => String::new(),
    };
    Ok((content, lacks))
}

#[cfg(test)]
mod tests {
    use super::{address, gather};
    use crate::memory;
    use model::{Argument, Arguments, ParameterKind};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(address(text), expected);
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let [a, b, c, d] = 0x7f00_0001_u32.to_be_bytes();
        let local = u32::from_ne_bytes([a, b, c, d]);
        check(&format!("{local:08X}:1F90"), "127.0.0.1:8080");
        let one = u32::from_ne_bytes([0, 0, 0, 1]);
        check(
            &format!("000000000000000000000000{one:08X}:0050"),
            "[::1]:80",
        );
        check("junk", "junk");
        check("0100007F", "0100007F");
        check("zz00007F:0050", "zz00007F:0050");
    }

    #[test]
    fn no_link_and_no_pipe_is_followed_or_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        let media = folder.path().join("shop/pub/media");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "of another").expect("written");
        std::os::unix::fs::symlink(&secret, media.join("link.php")).expect("a link");
        std::os::unix::fs::symlink(folder.path(), media.join("out")).expect("a link");
        nix::unistd::mkfifo(&media.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        for (file, said) in [
            ("pub/media/link.php", "it is a link"),
            ("pub/media/out/secret", "a link or a file on its way"),
            ("pub/media/pipe", "no plain file"),
        ] {
            let found = super::look_at_file(&host, file);
            assert!(found.lacks.contains(said), "{found:?}");
            let content = String::from_utf8_lossy(&found.content);
            assert!(!content.contains("of another"), "{content}");
        }
    }

    #[test]
    fn what_is_there_is_had_and_what_is_not_says_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        let mut arguments = Arguments::new();
        for (name, kind, value) in [
            ("file", ParameterKind::File, "pub/media/x.php"),
            ("view", ParameterKind::View, "fr"),
            ("row", ParameterKind::Row, "core_config_data:7"),
        ] {
            let read = Argument::read(kind, value).expect("a value");
            arguments.insert(name, read);
        }
        let found = gather(&host, &arguments);
        let text = |name: &str| {
            let one = found.iter().find(|one| one.name == name);
            let one = one.unwrap_or_else(|| unreachable!("{name} in {found:?}"));
            (
                String::from_utf8_lossy(&one.content).into_owned(),
                one.lacks.clone(),
            )
        };
        let me = std::process::id().to_string();
        let (processes, _) = text("processes");
        assert!(
            processes
                .lines()
                .any(|line| line.starts_with(&format!("{me}\t")))
        );
        assert!(text("connections").0.starts_with("protocol"));
        let (file, lacks) = text("file pub/media/x.php");
        assert!(file.contains("mode 100644") && file.contains("// dropped"));
        assert_eq!(lacks, "");
        assert!(text("page fr.shop.test/").0.starts_with("HTTP/1.1 200"));
        assert!(!text("row core_config_data:7").1.is_empty());
        let named: Vec<_> = found.iter().filter(|one| one.is_named).collect();
        assert_eq!(named.len(), 4, "a row, two pages, a file");
        let order: Vec<_> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(order.first(), Some(&"processes"));
    }
}
