//! Puts a row that shows on pages back to what it was: a setting, a block, a page, a layout update.
//!
//! What it was isn't typed in: it is a file of kept evidence, `TABLE:KEY.json` in a folder of the settings, and its hash
//! is told before anything is done. What it says when it is surveyed is what is put back, whatever becomes of the file.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use sha2::{Digest as _, Sha256};

use crate::action::{ActionError, Change, argument};
use crate::database::Database;
use crate::database::row_action::RowAction;
use crate::database::rows::{Cells, RowChange, cells};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "revert_row",
    about: "Puts a row back to what the file TABLE:KEY.json of the settings' folder `good_rows` says, e.g. {\"value\": \"1\"}; of \
        core_config_data, cms_block, cms_page or layout_update",
    parameters: &[Parameter {
        name: "row",
        kind: ParameterKind::Row,
        is_required: true,
        about: "which one",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Database,
    reach: Reach::Installation,
    acts_on_cause: true,
    closes: false,
    stays_open: "Magento and what stands in front serve what they cached until it is cleaned: `bin/magento cache:clean config layout \
        block_html full_page`, after doing and after undoing; a value that app/etc or PHP's environment sets wins over the row; \
        whoever wrote the row may write it again; rows that were added are dealt with by hand",
};

/// Tables whose rows are put back, what tells one, and the columns that may be.
const TABLES: [(&str, &str, &[&str]); 4] = [
    ("core_config_data", "config_id", &["value"]),
    ("cms_block", "block_id", &["title", "content", "is_active"]),
    (
        "cms_page",
        "page_id",
        &[
            "title",
            "content",
            "is_active",
            "layout_update_xml",
            "custom_layout_update_xml",
        ],
    ),
    ("layout_update", "layout_update_id", &["handle", "xml"]),
];
/// Largest file of a row, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// `revert_row`.
pub(crate) struct RevertRow;

impl RowAction for RevertRow {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let row = argument(arguments, "row")?.as_str();
        let (table, key) = row.split_once(':').unwrap_or_default();
        let known = TABLES.iter().find(|(name, ..)| *name == table);
        let Some((table, id, columns)) = known else {
            let names = TABLES.map(|(name, ..)| name);
            return Err(ActionError::refused(format!(
                "rows of {table} aren't put back, only those of {}",
                names.join(", ")
            )));
        };
        let (good, hash) = good(host, row, columns)?;
        let names: Vec<_> = good.keys().cloned().collect();
        let found = RowChange::survey(database, table, cells([(id, key)]), good)?;
        let now = match &found {
            Some(found) if found.before.is_none() => {
                return Err(ActionError::refused(format!("{row} isn't there")));
            }
            Some(_) => "something else",
            None => "so already",
        };
        let change = Change {
            what: format!("{row}, {}", names.join(", ")),
            now: now.to_owned(),
            then: format!("what the file of SHA-256 {hash} says"),
        };
        Ok((change, found.into_iter().collect()))
    }
}

/// Columns of a row as they should be, and their file's hash. The row's kind leaves no way out of the folder.
fn good(host: &Host, row: &str, columns: &[&str]) -> Result<(Cells, String), ActionError> {
    let folder = host.database()?.good_rows.as_ref();
    let folder = folder.ok_or_else(|| ActionError::NotSetUp {
        what: "[database] names no `good_rows`".to_owned(),
    })?;
    let about = folder.metadata();
    let about = about.map_err(ActionError::file("look at", folder))?;
    if about.mode() & 0o022 != 0 {
        return Err(ActionError::NotSetUp {
            what: format!(
                "{} has to be a folder that its owner alone writes to",
                folder.display()
            ),
        });
    }
    let path = folder.join(format!("{row}.json"));
    let file = File::open(&path).map_err(ActionError::file("read", &path))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(ActionError::file("read", &path))?;
    let good: Option<Cells> = serde_json::from_slice(&bytes).ok();
    let is_known = |column: &String| columns.contains(&column.as_str());
    let good = good.filter(|good| !good.is_empty() && good.keys().all(is_known));
    let good = good.ok_or_else(|| {
        ActionError::refused(format!(
            "{} has to be a JSON object of texts or null for some of: {}",
            path.display(),
            columns.join(", ")
        ))
    })?;
    let hash = Sha256::digest(&bytes);
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((good, hash))
}
