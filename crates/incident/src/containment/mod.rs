//! What stops an incident, by what its findings name: the account, the row, the file, the route – never the whole shop.
//!
//! Says and does nothing itself. The cause goes before the symptom, and of each lever it says whether it contains or only holds
//! up, what it costs and what undoes it. Levers and their limits are Magento's own (`bin/magento`, its tables) and the servers'.
//!
//! Invariant: no statement holds a name that could break out of it ([`quote`]); where a name could, it says so and prints none.

mod accounts;
mod levers;
mod quote;
mod read;
mod statements;

use model::{Finding, Incident};

use levers::Known;

/// Levers told of one incident.
const LEVERS_MAX: usize = 24;

/// Whether a lever stops the cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// What is closed can't act any more.
    Contains,
    /// It goes on by another way, or as soon as the lever is let go.
    OnlyMitigates,
}

impl Effect {
    /// In words that stand before a lever.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Contains => "contains: closes what it came through",
            Self::OnlyMitigates => "only mitigates: gains time, the cause stays",
        }
    }
}

/// Where a lever's lines are typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// SQL.
    Database,
    /// Commands on the shop's host.
    Shell,
    /// Commands on the host the database runs on.
    DatabaseHost,
    /// Lines of nginx's configuration.
    Nginx,
    /// Magento's back end: no line does it.
    BackEnd,
}

impl At {
    /// In words that stand before the lines that act.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Database => "At the database:",
            Self::Shell => "On the shop's host, in a shell:",
            Self::DatabaseHost => "On the database's host, in a shell:",
            Self::Nginx => {
                "On the shop's host (where its web server runs), in nginx's configuration, in the server{} of each site it is to be closed on; then nginx -t && nginx -s reload in a shell:"
            }
            Self::BackEnd => "By hand, in Magento's back end.",
        }
    }

    /// In words that stand before the lines that look.
    #[must_use]
    pub const fn looks(self) -> &'static str {
        match self {
            Self::Database | Self::BackEnd => {
                "Look first, at the database, and keep what it shows:"
            }
            Self::Shell | Self::Nginx => {
                "Look first, on the shop's host, in a shell, and keep what it shows:"
            }
            Self::DatabaseHost => {
                "Look first, on the database's host, in a shell, and keep what it shows:"
            }
        }
    }
}

/// One thing a person can do to stop it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lever {
    /// What to do and to what, in one sentence.
    pub does: String,
    /// Whether it stops the cause.
    pub effect: Effect,
    /// What is known of what it touches, or the order in which its parts are done: a sentence each.
    pub told: Vec<String>,
    /// What else stops by it, and when to leave it.
    pub costs: String,
    /// Why it is offered, and what to know of it.
    pub because: String,
    /// Where its lines are typed.
    pub at: At,
    /// Lines that look and change nothing: what they show is evidence, and mostly what undoes it.
    pub looks: Vec<String>,
    /// Lines that act; none where a name can't be printed safely or isn't known.
    pub lines: Vec<String>,
    /// Lines in a shell for the end, when all evidence is kept and nothing puts it back.
    pub last: Vec<String>,
    /// How long caches go on serving what was closed unless those lines are run; empty where none do.
    pub lasts: &'static str,
    /// What undoes it.
    pub undo: String,
}

impl Lever {
    /// Whether no line does it, as it is.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        self.at == At::BackEnd
    }
}

/// A finding, and what is known of where it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// Folder its files lie below, where it is of a watched tree.
    pub root: Option<&'a str>,
    /// Masked records it rests on, as far as they are at hand.
    pub texts: &'a [&'a str],
}

/// What stops an incident, the cause first; empty when its findings name nothing that could be closed.
#[must_use]
pub fn levers(incident: &Incident, told: &[Told<'_>]) -> Vec<Lever> {
    let known = Known::new(incident, told);
    let mut out = known.levers();
    // Stable: within each the order of the ladder stays.
    out.sort_by_key(|lever| lever.effect);
    out.truncate(LEVERS_MAX);
    out
}

/// A path as a shell may hold it, between single quotes; `None` where it has characters that could hurt.
#[must_use]
pub fn shell_path(path: &str) -> Option<String> {
    quote::file(path).map(|path| format!("'{path}'"))
}

#[cfg(test)]
mod tests;
