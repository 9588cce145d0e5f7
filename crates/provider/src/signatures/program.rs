//! `xmlsec1`, libxmlsec1's own program, which checks signatures outside of this process.
//!
//! It is given one document, the element that has to be signed and one public key; no key, certificate or address of the
//! document counts. What it says it digested, canonical and without the signature, is what is read afterwards: so nobody
//! can be shown one document and check another.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longest time one check may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes read of what it says: canonical XML may be longer than what was sent, and some lines stand around it.
const SAID_BYTES_MAX: usize = 1 << 20;
/// How many run at once; more are refused, so that nobody can fill the machine with them.
const AT_ONCE: usize = 4;

/// What stands around what was digested.
const BEGIN: &str = "== PreDigest data - start buffer:\n";
const END: &str = "\n== PreDigest data - end buffer\n";

/// What every installation of it has to find right, and wrong when a letter is another one.
const KNOWN: &str = include_str!("known_answer.xml");
const KNOWN_ELEMENT: &str = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion";
const KNOWN_KEY: &str = include_str!("known_answer.pem");

/// Why it didn't say whether a signature is right.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It isn't there, or may not be run.
    #[error("{path} can't be run: {source}")]
    Start {
        /// Where it should be.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file for it can't be written, or its words can't be read.
    #[error("what xmlsec1 needs can't be written: {0}")]
    Files(#[from] io::Error),
    /// It took too long.
    #[error("xmlsec1 took longer than 10 s")]
    Late,
    /// There are too many already.
    #[error("too many answers are checked at once")]
    Busy,
    /// It doesn't do what it should.
    #[error("{0} is no xmlsec1 that can be used here: {1}")]
    Unfit(String, &'static str),
}

/// The program.
pub(crate) struct Program {
    path: PathBuf,
    /// Since 1.3 a key without a name is found only when that is asked for.
    is_lax: bool,
    running: AtomicUsize,
}

impl Program {
    /// Finds it, and that it tells a right signature from a wrong one.
    pub(crate) fn find(path: &Path) -> Result<Self, Fault> {
        let shown = path.display().to_string();
        let unfit = |why| Fault::Unfit(shown.clone(), why);
        let (_, said) = run(path, &["--version".to_owned()])?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said
            .strip_prefix("xmlsec1 ")
            .ok_or(unfit("it says another name"))?;
        let mut numbers = version.split(['.', ' ']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(unfit("it says no version"));
        };
        if (major, minor) < (1, 2) {
            return Err(unfit("it is older than 1.2"));
        }
        let program = Self {
            path: path.to_owned(),
            is_lax: (major, minor) >= (1, 3),
            running: AtomicUsize::new(0),
        };
        let check = |text: &str| program.digested(text, KNOWN_ELEMENT, "_known", KNOWN_KEY);
        let right = check(KNOWN)?.ok_or(unfit("it finds a right signature wrong"))?;
        if !right
            .ends_with("<saml:NameID>known answer</saml:NameID></saml:Subject></saml:Assertion>")
        {
            return Err(unfit("it doesn't say what was signed"));
        }
        if check(&KNOWN.replace(">known answer<", ">another answer<"))?.is_some() {
            return Err(unfit("it finds a wrong signature right"));
        }
        Ok(program)
    }

    /// What a document's element is signed for, as it was digested; nothing when its signature isn't this key's.
    pub(crate) fn digested(
        &self,
        text: &str,
        element: &str,
        id: &str,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        let before = self.running.fetch_add(1, Ordering::SeqCst);
        let done = if before < AT_ONCE {
            self.checked(text, element, id, key)
        } else {
            Err(Fault::Busy)
        };
        self.running.fetch_sub(1, Ordering::SeqCst);
        done
    }

    fn checked(
        &self,
        text: &str,
        element: &str,
        id: &str,
        key: &str,
    ) -> Result<Option<String>, Fault> {
        // Gone when this returns. It holds who somebody is, so nobody else may read it.
        let mut folder = tempfile::Builder::new();
        let folder = folder
            .prefix("magewarden-saml-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()?;
        let (document, public) = (
            folder.path().join("answer.xml"),
            folder.path().join("key.pem"),
        );
        fs::write(&document, text)?;
        fs::write(&public, key)?;
        let mut arguments = [
            "--verify",
            // Only the one that is asked for has an ID, so nothing else can be referred to.
            "--id-attr:ID",
            element,
            "--node-id",
            id,
            "--enabled-reference-uris",
            "same-doc",
            // The document's own keys, certificates and addresses of them aren't read: a name is no key.
            "--enabled-key-data",
            "key-name",
            "--pubkey-pem",
            &public.to_string_lossy(),
            "--store-references",
            "--print-debug",
        ]
        .map(str::to_owned)
        .to_vec();
        if self.is_lax {
            arguments.push("--lax-key-search".to_owned());
        }
        arguments.push(document.to_string_lossy().into_owned());
        let (status, said) = run(&self.path, &arguments)?;
        if !status.success() {
            return Ok(None);
        }
        Ok(between(&said))
    }
}

/// What was digested: once, and nothing in it that looks like its end.
fn between(said: &[u8]) -> Option<String> {
    let said = str::from_utf8(said).ok()?;
    let (_, rest) = said.split_once(BEGIN)?;
    let (digested, after) = rest.split_once(END)?;
    let is_once = !digested.contains(BEGIN) && !after.contains(BEGIN) && !after.contains(END);
    is_once.then(|| digested.to_owned())
}

/// Runs it to its end, with a limit of time and of words.
fn run(path: &Path, arguments: &[String]) -> Result<(ExitStatus, Vec<u8>), Fault> {
    #[expect(
        clippy::disallowed_methods,
        reason = "signatures of XML are checked by their own program"
    )]
    let mut command = Command::new(path);
    let started = command
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = started.map_err(|source| Fault::Start {
        path: path.display().to_string(),
        source,
    })?;
    let out = child.stdout.take();
    let (told, heard) = mpsc::channel();
    let listener = thread::Builder::new().spawn(move || {
        let mut said = Vec::new();
        if let Some(out) = out {
            let _read = out.take(SAID_BYTES_MAX as u64).read_to_end(&mut said);
        }
        // What is cut off has no end that could be found; a pipe that is closed ends who goes on.
        let _nobody_waits = told.send(said);
    });
    let status = match listener {
        Ok(_) => wait(&mut child)?,
        Err(error) => {
            end(&mut child)?;
            return Err(error.into());
        }
    };
    let status = status.ok_or(Fault::Late)?;
    let said = heard.recv_timeout(TIME_MAX).map_err(|_| Fault::Late)?;
    Ok((status, said))
}

/// Waits for its end, and ends it when its time is over.
fn wait(child: &mut Child) -> Result<Option<ExitStatus>, io::Error> {
    let until = Instant::now() + TIME_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            end(child)?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn end(child: &mut Child) -> Result<(), io::Error> {
    child.kill()?;
    child.wait()?;
    Ok(())
}
