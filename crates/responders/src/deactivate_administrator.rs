//! Deactivates an administrator and ends what they are logged in by: sessions, tokens, and tokens that are in no table.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::database::rows::{self, RowChange, cells};
use crate::database::{Cell, Database};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "deactivate_administrator",
    about: "Deactivates an administrator, ends their sessions, revokes their tokens (oauth_token, jwt_auth_revoked)",
    parameters: &[Parameter {
        name: "administrator",
        kind: ParameterKind::Administrator,
        is_required: true,
        about: "whom",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("sessions and tokens that ended"),
    layer: Layer::Application,
    reach: Reach::Actor,
    acts_on_cause: true,
    closes: false,
    stays_open: "an earlier revocation that Magento's cache holds (jwt-user-token:revoked:2:ID) shadows this one until it is cleaned; \
        other administrators that this one made; integrations; who knows the encryption key of app/etc/env.php makes tokens anew",
};

/// Status of a session that runs, and of one that was ended by command (`Magento\Security\Model\AdminSessionInfo`).
const RUNS: &str = "1";
const ENDED: &str = "3";

/// What undoes it, and whose it is.
#[derive(Serialize, Deserialize)]
struct Kept {
    user_id: String,
    /// When it was surveyed, in seconds since 1970 by the server's clock: a revocation from before is none.
    since: String,
    /// The administrator's own row; none when it was inactive before.
    row: Option<RowChange>,
}

/// `deactivate_administrator`.
pub(crate) struct DeactivateAdministrator;

impl Action for DeactivateAdministrator {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let name = argument(arguments, "administrator")?;
        let database = &mut Database::open(host)?;
        let by_name = ("username", name.as_str());
        let [user_id] = rows::named(database, "admin_user", by_name, ["user_id"])?;
        let user_id = user_id.unwrap_or_default();
        let now = "SELECT CAST(UNIX_TIMESTAMP() AS CHAR)";
        let since = database.rows("say the time", now, &[])?;
        let since = since.into_iter().flatten().flatten().next();
        let since = since.unwrap_or_default();
        refuse_last(database, &user_id)?;
        let key = cells([("user_id", &user_id)]);
        let row = RowChange::survey(database, "admin_user", key, cells([("is_active", "0")]))?;
        let open = Open::look(database, &user_id, &since)?;
        let change = Change {
            what: format!("administrator {name}"),
            now: format!(
                "{}, {} sessions run, {} tokens hold",
                if row.is_some() { "active" } else { "inactive" },
                open.sessions,
                open.tokens
            ),
            then: "inactive; sessions and tokens end".to_owned(),
        };
        let kept = Kept {
            user_id,
            since,
            row,
        };
        Ok(Survey {
            changes: vec![change],
            kept: keep(&kept)?,
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        refuse_last(database, &kept.user_id)?;
        let open = Open::look(database, &kept.user_id, &kept.since)?;
        let is_done = rows::is_done(database, kept.row.as_slice())?;
        if is_done && open.is_none() {
            return Ok(());
        }
        let user = [Some(kept.user_id.clone())];
        // When it was last used stays: it tells of whoever stole it.
        let sessions = format!(
            "UPDATE {} SET status = {ENDED}, updated_at = updated_at WHERE user_id = ? AND status = {RUNS}",
            database.table("admin_user_session")
        );
        let tokens = format!(
            "UPDATE {} SET revoked = 1 WHERE admin_id = ? AND revoked = 0",
            database.table("oauth_token")
        );
        // 2 is an administrator (`UserContextInterface::USER_TYPE_ADMIN`). Refused are tokens issued at that second or before.
        let revoked = format!(
            "INSERT INTO {} (user_type_id, user_id, revoke_before) VALUES (2, ?, UNIX_TIMESTAMP()) \
             ON DUPLICATE KEY UPDATE revoke_before = UNIX_TIMESTAMP()",
            database.table("jwt_auth_revoked")
        );
        database.whole("deactivate the administrator", |database| {
            rows::put_all(database, kept.row.as_slice(), false)?;
            database.change("end sessions", &sessions, &user)?;
            database.change("revoke tokens", &tokens, &user)?;
            database.change("revoke tokens that are in no table", &revoked, &user)?;
            Ok(())
        })
    }

    fn read_back(
        &self,
        host: &Host,
        _arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Kept = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        let asked = format!(
            "SELECT CAST(is_active AS CHAR) FROM {} WHERE user_id = ?",
            database.table("admin_user")
        );
        let found = database.rows(
            "look at the administrator",
            &asked,
            &[Some(kept.user_id.clone())],
        )?;
        let is_active = found.first().and_then(|row| row.first()?.as_deref());
        if is_active != Some("0") {
            return Ok(Effect::NotInEffect);
        }
        let open = Open::look(database, &kept.user_id, &kept.since)?;
        Ok(if open.is_none() {
            Effect::InEffect
        } else {
            Effect::Partly(format!(
                "inactive, but {} sessions run and {} tokens hold{}",
                open.sessions,
                open.tokens,
                if open.is_revoked {
                    ""
                } else {
                    "; tokens that are in no table aren't revoked"
                }
            ))
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        // A session or token that was stolen is given back to nobody.
        rows::undo(&mut Database::open(host)?, kept.row.as_slice())
    }
}

/// A shop without any administrator has nobody to let another one in.
fn refuse_last(database: &mut Database<'_>, user_id: &str) -> Result<(), ActionError> {
    let asked = format!(
        "SELECT CAST(COUNT(*) AS CHAR) FROM {} WHERE is_active = 1 AND user_id <> ?",
        database.table("admin_user")
    );
    let others = database.rows("count administrators", &asked, &[Some(user_id.to_owned())])?;
    if count(&others) == 0 {
        return Err(ActionError::refused(
            "no other administrator is active: make one first (bin/magento admin:user:create)",
        ));
    }
    Ok(())
}

/// What an administrator is logged in by.
struct Open {
    sessions: u64,
    tokens: u64,
    /// Whether tokens that are in no table were revoked since the survey.
    is_revoked: bool,
}

impl Open {
    fn look(database: &mut Database<'_>, user_id: &str, since: &str) -> Result<Self, ActionError> {
        let user = [Some(user_id.to_owned()), Some(since.to_owned())];
        let mut of = |table: &str, condition: &str, values: &[Cell]| {
            let table = database.table(table);
            let asked = format!("SELECT CAST(COUNT(*) AS CHAR) FROM {table} WHERE {condition}");
            Ok::<_, ActionError>(count(&database.rows(
                "count sessions and tokens",
                &asked,
                values,
            )?))
        };
        Ok(Self {
            sessions: of(
                "admin_user_session",
                &format!("user_id = ? AND status = {RUNS}"),
                &user[..1],
            )?,
            tokens: of("oauth_token", "admin_id = ? AND revoked = 0", &user[..1])?,
            is_revoked: of(
                "jwt_auth_revoked",
                "user_id = ? AND user_type_id = 2 AND revoke_before >= CAST(? AS UNSIGNED)",
                &user,
            )? > 0,
        })
    }

    const fn is_none(&self) -> bool {
        self.sessions == 0 && self.tokens == 0 && self.is_revoked
    }
}

fn count(rows: &[Vec<Cell>]) -> u64 {
    let cell = rows.first().and_then(|row| row.first()?.as_deref());
    cell.and_then(|text| text.parse().ok()).unwrap_or(0)
}
