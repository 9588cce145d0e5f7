//! Holds a cron job, by a row that says it is running.
//!
//! Magento starts a job only when no row of `cron_schedule` says that it runs: `ResourceModel\Schedule::trySetJobUniqueStatusAtomic`
//! looks for one of the same code whose `executed_at` is less than a day ago. A row of ours says so until it is taken away; no
//! setting, no file and no cache has to change, and no row of Magento's is touched.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, Change, argument};
use crate::database::Database;
use crate::database::row_action::RowAction;
use crate::database::rows::{RowChange, cells};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "pause_job",
    about: "Keeps Magento's cron from starting a job, by a row of cron_schedule that says it is running",
    parameters: &[Parameter {
        name: "job",
        kind: ParameterKind::Job,
        is_required: true,
        about: "code of the job",
    }],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: false,
    stays_open: "a run of it that has begun; what Magento's cron doesn't start: other lines of crontab, consumers that run already \
        (hold consumers_runner, then end their processes) or that a supervisor starts; whoever writes to the database or calls the \
        job's code by another way; an extension that tidies up jobs that seem to hang, which --check tells. Runs that fall due \
        meanwhile are missed, not made up for",
};

/// What tells our row from Magento's.
const MARK: &str = "held by magewarden";
/// A time that isn't past, so that the row never counts as left over: near the last that a TIMESTAMP holds.
const NEVER: &str = "2037-12-31 00:00:00";

/// `pause_job`.
pub(crate) struct PauseJob;

impl RowAction for PauseJob {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        _host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let job = argument(arguments, "job")?.as_str();
        let table = database.table("cron_schedule");
        let counted = format!(
            "SELECT CAST(status AS CHAR), CAST(COUNT(*) AS CHAR) FROM {table} WHERE job_code = ? GROUP BY status ORDER BY status"
        );
        let found = database.rows("count runs", &counted, &[Some(job.to_owned())])?;
        // Of a name that is misspelt nothing would be held.
        if found.is_empty() {
            return Err(ActionError::refused(format!(
                "cron_schedule has no run of {job}: a consumer's name isn't one, its job is consumers_runner"
            )));
        }
        let states = found.into_iter().map(|row| {
            let mut row = row.into_iter().flatten();
            let (state, count) = (row.next(), row.next());
            format!(
                "{} {}",
                count.unwrap_or_default(),
                state.unwrap_or_default()
            )
        });
        let key = cells([("job_code", job), ("status", "running"), ("messages", MARK)]);
        let times = cells([
            ("created_at", NEVER),
            ("scheduled_at", NEVER),
            ("executed_at", NEVER),
        ]);
        let held = RowChange::survey(database, "cron_schedule", key, times)?;
        let change = Change {
            what: format!("cron job {job}"),
            now: match &held {
                Some(_) => format!("runs: {}", states.collect::<Vec<_>>().join(", ")),
                None => "held already".to_owned(),
            },
            then: "held: no run of it begins".to_owned(),
        };
        Ok((change, held.into_iter().collect()))
    }
}
