//! Limits and rights of accounts at a real MariaDB: what somebody else changed stays, and nothing is made that wasn't there.

use std::path::Path;

use model::Arguments;
use responders::{Action, ActionError, Effect, Host, action};
use tempfile::TempDir;

use crate::database::{arguments, let_narrow, root, shop};

/// An action at a shop of its own.
struct At {
    action: &'static dyn Action,
    host: Host,
    given: Arguments,
    _folder: TempDir,
}

impl At {
    fn new(socket: &Path, name: &str, values: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = shop(socket, folder.path()).expect("a host");
        let_narrow(socket);
        let action = action(name).expect("an action");
        let given = arguments(action, values);
        Self {
            action,
            host,
            given,
            _folder: folder,
        }
    }

    /// What is kept, and what is said of it.
    fn surveyed(&self) -> (Vec<u8>, String) {
        let survey = self.action.survey(&self.host, &self.given);
        let survey = survey.expect("a survey");
        (survey.kept, format!("{:?}", survey.changes))
    }

    fn act(&self, kept: &[u8]) -> Result<(), ActionError> {
        self.action.act(&self.host, &self.given, kept)
    }

    fn undo(&self, kept: &[u8]) -> Result<(), ActionError> {
        self.action.undo(&self.host, &self.given, kept)
    }

    fn effect(&self, kept: &[u8]) -> Effect {
        let told = self.action.read_back(&self.host, &self.given, kept);
        told.expect("told")
    }
}

#[track_caller]
fn refused(done: Result<(), ActionError>, words: &str) {
    let told = done.expect_err("it is refused").to_string();
    assert!(told.contains(words), "{told}");
}

pub(crate) fn are_what_they_were(socket: &Path) {
    limits_that_others_set_stay(socket);
    rights_given_since_the_survey_stay(socket);
    an_account_that_is_gone_is_not_made_anew(socket);
    what_was_not_there_is_not_given(socket);
    what_is_not_shown_is_not_taken_for_nothing(socket);
}

fn limits_that_others_set_stay(socket: &Path) {
    let values = [("account", "erp@%"), ("connections", "2")];
    let at = At::new(socket, "limit_database_account", &values);
    let (kept, told) = at.surveyed();
    assert!(
        told.contains("500 statements an hour, any number of connections at a time"),
        "{told}"
    );
    let other = "ALTER USER erp@'%' WITH MAX_USER_CONNECTIONS 9";
    root(socket, other);
    refused(at.act(&kept), "9 connections at a time");
    assert!(matches!(at.effect(&kept), Effect::Partly(told) if told.contains("somebody else")));
    refused(at.undo(&kept), "somebody else set");
    root(socket, "ALTER USER erp@'%' WITH MAX_USER_CONNECTIONS 0");
    at.act(&kept).expect("act");
    // Stricter already: nothing is loosened.
    let (stricter, told) = at.surveyed();
    assert!(told.contains("so already, or stricter"), "{told}");
    at.act(&stricter).expect("act");
    at.undo(&stricter).expect("undo");
    assert_eq!(at.effect(&kept), Effect::InEffect);
    at.undo(&kept).expect("undo");
    assert_eq!(at.effect(&kept), Effect::NotInEffect);
}

fn rights_given_since_the_survey_stay(socket: &Path) {
    let values = [
        ("account", "erp@%"),
        ("privilege", "update"),
        ("on", "shop.mg_cms_block"),
    ];
    let at = At::new(socket, "narrow_grants", &values);
    let (kept, told) = at.surveyed();
    assert!(told.contains("and on columns"), "{told}");
    assert!(told.contains("what roles give stays: reader"), "{told}");
    // Neither is a password's hash kept, nor is it said.
    let mut text = String::from_utf8(kept.clone()).expect("text");
    // In whichever order the server tells them.
    for part in [
        r#""whole":true"#,
        r#""columns":"#,
        r#""title""#,
        r#""content""#,
    ] {
        assert!(text.contains(part), "{text}");
        text = text.replace(part, "");
    }
    assert_eq!(text, "{,[,]}");
    assert!(
        !told.contains("IDENTIFIED") && !told.contains("*8"),
        "{told}"
    );
    root(
        socket,
        "GRANT UPDATE (is_active) ON shop.mg_cms_block TO erp@'%'",
    );
    refused(at.act(&kept), "since it was surveyed");
    root(
        socket,
        "REVOKE UPDATE (is_active) ON shop.mg_cms_block FROM erp@'%'",
    );
    at.act(&kept).expect("act");
    root(
        socket,
        "GRANT UPDATE (title) ON shop.mg_cms_block TO erp@'%'",
    );
    let told = at.effect(&kept);
    assert_eq!(
        told,
        Effect::Partly("of it there is: granted on columns title".to_owned())
    );
    at.act(&kept).expect("act");
    assert_eq!(at.effect(&kept), Effect::InEffect);
    at.undo(&kept).expect("undo");
    assert_eq!(at.effect(&kept), Effect::NotInEffect);
}

fn an_account_that_is_gone_is_not_made_anew(socket: &Path) {
    let values = [("account", "erp@%"), ("privilege", "FILE"), ("on", "*.*")];
    let at = At::new(socket, "narrow_grants", &values);
    let (kept, _) = at.surveyed();
    at.act(&kept).expect("act");
    root(socket, "DROP USER erp@'%'");
    refused(at.undo(&kept), "no account erp@%");
}

fn what_was_not_there_is_not_given(socket: &Path) {
    let values = [
        ("account", "feed@localhost"),
        ("privilege", "FILE"),
        ("on", "*.*"),
    ];
    let at = At::new(socket, "narrow_grants", &values);
    let (kept, told) = at.surveyed();
    assert!(
        told.contains("not granted") && told.contains("so already"),
        "{told}"
    );
    at.act(&kept).expect("act");
    at.undo(&kept).expect("undo");
    assert_eq!(at.effect(&kept), Effect::InEffect);
    root(socket, "GRANT FILE ON *.* TO feed@localhost");
    assert_eq!(at.effect(&kept), Effect::NotInEffect);
    refused(at.act(&kept), "since it was surveyed");
}

fn what_is_not_shown_is_not_taken_for_nothing(socket: &Path) {
    let values = [("account", "erp@%"), ("privilege", "FILE"), ("on", "*.*")];
    let at = At::new(socket, "narrow_grants", &values);
    let (kept, _) = at.surveyed();
    root(
        socket,
        "REVOKE SELECT ON mysql.* FROM containment@localhost",
    );
    let words = "SELECT on mysql.*: grant it to containment@localhost";
    refused(at.action.survey(&at.host, &at.given).map(drop), words);
    refused(at.act(&kept), words);
}
