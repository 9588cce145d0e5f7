//! `[mail]` of the settings file, and `magewarden mail`: a letter to see whether letters go.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use engine::mail::MailSettings;
use model::Level;
use sinks::mail::{Letter, MailServer, Post as _, PostError, Protection, Smtp, is_address};

use super::now;
use super::sign_in::secret;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Known settings, for who writes one wrong.
pub(super) const KNOWN: &str = "server, tls, user, password_file, ca_file, from, to, severity, quiet_minutes, per_hour, clock_hours, url";

/// `[mail]`.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailFile {
    server: String,
    #[serde(default = "starttls")]
    tls: String,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    from: String,
    #[serde(default)]
    to: Vec<String>,
    #[serde(default = "high")]
    severity: String,
    #[serde(default = "quiet")]
    quiet_minutes: u16,
    #[serde(default = "per_hour")]
    per_hour: u16,
    #[serde(default = "clock")]
    clock_hours: u16,
    #[serde(default)]
    url: String,
}

fn starttls() -> String {
    "starttls".to_owned()
}

fn high() -> String {
    Level::High.name().to_owned()
}

const fn quiet() -> u16 {
    15
}

const fn per_hour() -> u16 {
    20
}

const fn clock() -> u16 {
    24
}

/// Mail, checked.
pub(super) struct Mailing {
    pub(super) post: Arc<Smtp>,
    /// Without the installation's name; where the console is reached only when the settings say it.
    pub(super) settings: MailSettings,
}

impl MailFile {
    /// Checks it; calls nobody.
    pub(super) fn checked(&self) -> Result<Mailing, Failure> {
        let protection = Protection::named(&self.tls).ok_or_else(|| {
            Failure::say(
                format!("[mail] tls = {:?} is no way to protect mail", self.tls),
                "starttls (mostly port 587), tls (mostly port 465), or none to a server on this machine",
            )
        })?;
        let severity = Level::named(&self.severity).ok_or_else(|| {
            let names = Level::ALL.map(Level::name).join(", ");
            Failure::say(
                format!("[mail] severity = {:?} is no severity", self.severity),
                format!("one of {names}"),
            )
        })?;
        if let Some(odd) = self.to.iter().find(|to| !is_address(to)) {
            return Err(Failure::say(
                format!("[mail] to has {odd:?}, which is no address of mail"),
                "to = [\"oncall@example.com\"]: an address each, without a name",
            ));
        }
        if self.per_hour < 2 || self.clock_hours > 24 * 30 {
            return Err(Failure::say(
                "[mail] per_hour is 2 or more, clock_hours at most 720",
                "leave them out for 20 letters an hour, and duties told a day before their time ends",
            ));
        }
        let url = self.url.trim_end_matches('/');
        let is_url = |url: &str| {
            let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty())
                && url.bytes().all(|one| one.is_ascii_graphic())
        };
        if !url.is_empty() && !is_url(url) {
            return Err(Failure::say(
                format!("[mail] url = {url:?} isn't where a browser finds the console"),
                "url = \"https://console.example.com\"; left out it is what `up` prints at its start",
            ));
        }
        let account = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), secret(file, "password_file")?)),
            (None, None) => None,
            _ => {
                return Err(Failure::say(
                    "[mail] has one of user and password_file, and an account is both",
                    "name both, or neither where the server asks for none",
                ));
            }
        };
        let authorities = self.ca_file.as_ref().map(|file| {
            let hint = format!("check the path of ca_file, {}", file.display());
            std::fs::read(file).or_fail(&hint)
        });
        let post = Smtp::new(MailServer {
            server: &self.server,
            protection,
            account,
            from: &self.from,
            authorities: authorities.transpose()?,
        });
        let post = post.or_fail("docs/mail.md has examples of [mail]")?;
        Ok(Mailing {
            post: Arc::new(post),
            settings: MailSettings {
                to: self.to.clone(),
                severity,
                quiet_seconds: i64::from(self.quiet_minutes) * 60,
                per_hour: usize::from(self.per_hour),
                clock_seconds: i64::from(self.clock_hours) * 3600,
                url: url.to_owned(),
                installation: String::new(),
            },
        })
    }
}

/// Send a letter to see whether letters go, by [mail] of the settings
///
/// Says what the mail server said. That it took the letter doesn't say that the letter arrives: look there.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    magewarden mail --config /etc/magewarden/up.toml --test oncall@example.com\n\n\
    In the settings (docs/mail.md):\n  \
    [mail]\n  \
    server = \"smtp.example.com:587\"\n  \
    user = \"magewarden\"\n  \
    password_file = \"/etc/magewarden/mail.password\"    (mode 0600)\n  \
    from = \"magewarden@example.com\"\n  \
    to = [\"oncall@example.com\"]")]
pub(crate) struct Mail {
    /// Settings of `up`, with [mail]
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Whom to send the letter to
    #[arg(long, value_name = "ADDRESS")]
    test: String,
}

/// Of the settings file what this is about; the rest is for `up`.
#[derive(serde::Deserialize)]
struct File {
    mail: Option<MailFile>,
}

impl Mail {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let text = std::fs::read_to_string(&self.config).or_fail("check the path of --config")?;
        let file: File =
            toml::from_str(&text).or_fail(&format!("known settings in [mail]: {KNOWN}"))?;
        let Some(mail) = file.mail else {
            return Err(Failure::say(
                format!("{} has no [mail]", self.config.display()),
                "docs/mail.md has an example",
            ));
        };
        if !is_address(&self.test) {
            return Err(Failure::say(
                format!("{:?} is no address of mail", self.test),
                "--test name@example.com",
            ));
        }
        let mailing = mail.checked()?;
        let at = now();
        let letter = Letter {
            to: self.test.clone(),
            subject: "test: magewarden reaches you by mail".to_owned(),
            body: format!(
                "Somebody at the shop's console asked at {} whether letters reach this address.\nNothing happened at the shop.\n",
                report::when(&at)
            ),
            id: format!("test-{}", at.0),
            thread: String::new(),
        };
        let sent = mailing.post.send(&letter);
        sent.map_err(|error| Failure::new(&error, hint(&error)))?;
        let told = format!(
            "sent: {} took a letter to {}; look whether it arrives\n",
            inert(&mail.server),
            inert(&self.test)
        );
        std::io::stdout()
            .write_all(told.as_bytes())
            .or_fail("write to another place")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What to do about a letter that wasn't taken.
fn hint(error: &PostError) -> &'static str {
    let PostError::Server { why, .. } = error else {
        return "check the address, and whether the server lets this account send as `from`";
    };
    let says = |words: &[&str]| {
        words
            .iter()
            .any(|word| why.to_ascii_lowercase().contains(word))
    };
    if says(&["certificate", "unknownissuer", "notvalidforname"]) {
        "the server's certificate isn't vouched for: `server` by the name that the certificate has; for a company's own authority \
         name its certificate with ca_file"
    } else if says(&["535", "534", "538", "authentication"]) {
        "the account isn't let in: check user and password_file, and whether the provider wants a password made for programs"
    } else if says(&["530"]) {
        "the server wants an account: set user and password_file"
    } else if says(&["starttls"]) {
        "the server offers no STARTTLS there: tls = \"tls\" on port 465, or another server; without TLS nothing is sent"
    } else if says(&["tls", "corrupt", "invalid message"]) {
        "TLS isn't spoken as expected there: tls = \"starttls\" is for port 587, tls = \"tls\" for 465"
    } else {
        "check `server`, and whether this machine may reach it: outgoing port 25 is often closed, 587 seldom"
    }
}

#[cfg(test)]
mod tests {
    use super::{File, KNOWN};
    use std::os::unix::fs::PermissionsExt as _;

    const WHOLE: &str = "[mail]\nserver = \"smtp.example.com:587\"\nfrom = \"w@example.com\"\n";

    #[track_caller]
    fn check(more: &str, expected: &str) {
        let file: Result<File, _> = toml::from_str(&format!("{WHOLE}{more}\n"));
        let told = match file {
            Err(error) => error.to_string(),
            Ok(file) => match file.mail.expect("there").checked() {
                Ok(_) => String::new(),
                Err(failure) => format!("{failure:?}"),
            },
        };
        assert!(
            told.contains(expected) && told.is_empty() == expected.is_empty(),
            "{more}: {told}"
        );
    }

    #[test]
    fn settings_are_whole_and_say_nothing_that_would_go_in_the_clear() {
        check("", "");
        check(
            "to = [\"a@example.com\"]\nseverity = \"medium\"\nurl = \"https://c.example.com/\"",
            "",
        );
        check("tls = \"ssl\"", "no way to protect");
        check("tls = \"none\"", "on loopback alone");
        check("severity = \"bad\"", "no severity");
        check("to = [\"Ana <a@example.com>\"]", "no address");
        check("per_hour = 1", "per_hour");
        check("clock_hours = 721", "clock_hours");
        check("url = \"javascript:x\"", "isn't where a browser");
        check("user = \"a\"", "an account is both");
        check("password = \"s3cret\"", "unknown field");
        check("ca_file = \"/nowhere.pem\"", "nowhere.pem");
        for field in KNOWN
            .split(", ")
            .filter(|one| !["server", "from"].contains(one))
        {
            check(&format!("{field} = {{}}"), "invalid type");
        }
    }

    #[test]
    fn a_password_that_others_may_read_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "s3cret\n").expect("written");
        let more = format!("user = \"a\"\npassword_file = {path:?}");
        for (mode, expected) in [(0o600, ""), (0o644, "others may read")] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
            check(&more, expected);
        }
    }
}
