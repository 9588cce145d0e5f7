//! Whether a website offers a payment method: rows of its own and of its views, and files and variables that win over them.
//!
//! Shared by whatever switches methods. A view's setting wins over its website's, that over the installation's.

use crate::ActionError;
use crate::config_files::{Php, locked};
use crate::database::rows::{RowChange, cells};
use crate::database::{Database, websites};
use crate::environment::{Environment, look, variable};
use crate::host::Host;

/// `payment/METHOD/active` of one website, as it is to be.
pub(crate) struct PaymentSetting<'a> {
    pub(crate) website: &'a str,
    pub(crate) method: &'a str,
    pub(crate) is_on: bool,
}

/// What changes by it.
pub(crate) struct Switched {
    /// The setting, and whose views it is.
    pub(crate) what: String,
    /// How it is, in words.
    pub(crate) now: String,
    pub(crate) rows: Vec<RowChange>,
}

impl PaymentSetting<'_> {
    /// Its path in `core_config_data`.
    pub(crate) fn path(&self) -> String {
        format!("payment/{}/active", self.method)
    }

    /// The website's row, and that of each view that has one of its own; none where all are so already.
    pub(crate) fn switched(
        &self,
        host: &Host,
        database: &mut Database<'_>,
    ) -> Result<Switched, ActionError> {
        let (path, wanted) = (self.path(), if self.is_on { "1" } else { "0" });
        let website_id = websites::id(database, self.website)?;
        let views = websites::views(database, &website_id)?;
        let mut rows = Vec::new();
        let mut changed = |scope: &str, scope_id: &str| {
            let place = [("scope", scope), ("scope_id", scope_id), ("path", &path)];
            let wanted = cells([("value", wanted)]);
            RowChange::survey(database, "core_config_data", cells(place), wanted)
        };
        let row = changed("websites", &website_id)?;
        let mut now = match &row {
            None => if self.is_on { "on" } else { "off" }.to_owned(),
            Some(row) => match &row.before {
                None => "as the installation's setting or the module's default".to_owned(),
                Some(before) => format!(
                    "`{}`",
                    before.get("value").cloned().flatten().unwrap_or_default()
                ),
            },
        };
        rows.extend(row);
        // Where a view has no setting of its own there is nothing to change.
        for (view_id, view) in &views {
            let own = changed("stores", view_id)?.filter(|row| row.before.is_some());
            if own.is_some() {
                now.push_str(&format!("; view {view} has a setting of its own"));
            }
            rows.extend(own);
        }
        now.push_str(&self.environment(host, database)?.unknown());
        let named: Vec<_> = views.into_iter().map(|(_, code)| code).collect();
        let what = format!(
            "{path} of website {} (store views {})",
            self.website,
            named.join(", ")
        );
        Ok(Switched { what, now, rows })
    }

    /// What PHP's environment says of it, for the website and each of its views.
    fn environment(
        &self,
        host: &Host,
        database: &mut Database<'_>,
    ) -> Result<Environment, ActionError> {
        let path = &self.path();
        let website_id = websites::id(database, self.website)?;
        let mut names = vec![variable(&["websites", self.website], path)];
        for (_, view) in websites::views(database, &website_id)? {
            names.push(variable(&["stores", &view], path));
        }
        Ok(look(host, &names))
    }

    /// Refuses where a file or a variable wins over the rows.
    pub(crate) fn refuse_locked(
        &self,
        host: &Host,
        database: &mut Database<'_>,
    ) -> Result<(), ActionError> {
        let path = &self.path();
        let refused = |place: String| {
            Err(ActionError::refused(format!(
                "{path} is set in {place}, which wins over the database: change it there"
            )))
        };
        let website_id = websites::id(database, self.website)?;
        if let Some((_, place)) = locked(host, &["websites", self.website], path)? {
            return refused(place);
        }
        for (_, view) in websites::views(database, &website_id)? {
            match locked(host, &["stores", &view], path)? {
                Some((Php::Text(value), _)) if self.is(&value) => {}
                Some((_, place)) => return refused(place),
                None => {}
            }
        }
        match self.environment(host, database)?.found {
            Some((name, place)) => refused(format!("{place} as {name}")),
            None => Ok(()),
        }
    }

    /// Whether a file's text says what is wanted anyway.
    fn is(&self, text: &str) -> bool {
        let is_off = text.is_empty() || text == "0";
        is_off != self.is_on
    }

    /// Refuses a method that nobody set up: offered, it would be a checkout that nobody can pay at.
    pub(crate) fn refuse_bare(&self, database: &mut Database<'_>) -> Result<(), ActionError> {
        let statement = format!(
            "SELECT CAST(COUNT(*) AS CHAR) FROM {} WHERE LEFT(`path`, CHAR_LENGTH(?)) = ?",
            database.table("core_config_data")
        );
        let start = Some(format!("payment/{}/", self.method));
        let rows = database.rows("look for settings", &statement, &[start.clone(), start])?;
        let count = rows.into_iter().flatten().next().flatten();
        match count.as_deref() {
            Some("0") | None => Err(ActionError::refused(format!(
                "no row of core_config_data is of payment/{}: set the method up first, then switch to it",
                self.method
            ))),
            Some(_) => Ok(()),
        }
    }
}
