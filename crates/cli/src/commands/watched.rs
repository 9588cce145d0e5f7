//! Opens the live sources that `up` is asked for beside logs.

use std::path::Path;
use std::sync::Arc;

use engine::pipeline::Pipeline;
use sources::database::Access;
use sources::{Given, Signatures, Source};

use super::now;
use super::settings::SourceSettings;
use crate::failure::{Failure, OrFail};

/// Opens each; what it listens at is bound when this returns.
pub(super) fn open(
    wanted: &[SourceSettings],
    pipeline: &Pipeline,
    data: &Path,
    magento: Option<&Path>,
    database: Option<Access>,
) -> Result<Vec<Box<dyn Source>>, Failure> {
    let given = Given {
        now: now(),
        resume: pipeline.positions().clone(),
        formats: parse::FORMATS.iter().map(|format| format.name()).collect(),
        database,
        data: data.to_owned(),
        clock: now,
        key: pipeline.key_for("sources"),
        magento: magento.map(Path::to_owned),
        signatures: Arc::new(signatures()?),
        cards: Arc::new(count_cards),
    };
    wanted
        .iter()
        .map(|wanted| {
            let Some(kind) = sources::kind(&wanted.kind) else {
                let known: Vec<_> = sources::SOURCES.iter().map(|kind| kind.name()).collect();
                return Err(Failure::say(
                    format!("there is no kind of source `{}`", wanted.kind),
                    format!("kinds: {}", known.join(", ")),
                ));
            };
            kind.open(wanted.settings.clone(), &given)
                .or_fail("docs/sources.md says what each kind is told")
        })
        .collect()
}

/// The signatures and content rules that are built in.
pub(super) fn signatures() -> Result<Signatures, Failure> {
    let signatures: Vec<_> = engine::content::under("signatures/", ".toml").collect();
    let rules: Vec<_> = engine::content::under("yara/", ".yar").collect();
    Signatures::parse(&signatures, &rules).or_fail("report it: they are built in")
}

/// Counts card numbers in a block of a file, published test numbers left out.
fn count_cards(block: &[u8]) -> u32 {
    let mut count = 0;
    cardholder::Scanner::new().push(block, true, &mut |hit| {
        count += u32::from(hit.kind == model::MarkKind::Pan && !hit.is_test);
    });
    count
}
