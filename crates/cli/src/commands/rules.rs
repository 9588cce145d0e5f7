//! `magewarden rules check|test`: are rules readable, and do their own examples hold.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use cardholder::{FingerprintKey, Masker};
use clap::{Args, Subcommand};
use detect::{Detector, RuleSource, Settings};
use engine::content;
use engine::intake::{Block, Intake, TokenKey};
use model::{Category, Event, EventRef, Field, Generation, Sequence, SourceId};
use parse::{Joiner, SourceState};
use sources::Signatures;

use super::parse::format_named;
use super::settings::{Reading, read_rules};
use crate::failure::{Failure, OrFail};

/// Check rules, or run their own examples
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden rules check\n  magewarden rules test my-rules/\n  magewarden rules test --yara my-yara-rules/"
)]
pub(crate) struct Rules {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Read rules and say what is wrong with them
    Check(Which),
    /// Run each rule's own examples of what must and must not match
    Test(Which),
}

#[derive(Args)]
struct Which {
    /// Folder or file of rules; the built-in ones when not given
    path: Option<PathBuf>,
    /// Folder of content rules in YARA's language (*.yar, *.yara), with examples as `match` and `pass` of their `meta`
    #[arg(long, value_name = "FOLDER", conflicts_with = "path")]
    yara: Option<PathBuf>,
}

impl Rules {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (Which { path, yara }, test) = match self.what {
            What::Check(which) => (which, false),
            What::Test(which) => (which, true),
        };
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let hint = "check where the output goes";
        if let Some(folder) = yara {
            let rules = Signatures::parse(&[], &[])
                .or_fail("report it: there are none")?
                .with(&folder)
                .or_fail(
                    "name a folder of *.yar files; docs/sources.md says what can be written",
                )?;
            return content_rules(&rules, test, &mut out).or_fail(hint);
        }
        let texts = match &path {
            Some(path) => read_rules(path)?,
            None => content::under("rules/", ".yml")
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .collect(),
        };
        let rules: Vec<_> = texts
            .iter()
            .map(|(name, text)| RuleSource { name, text })
            .collect();
        let detector = Detector::new(&rules, Settings::default())
            .or_fail("mend the rule; docs/rules.md shows what can be written")?;
        // What is built in is rules of both kinds.
        let own = path
            .is_none()
            .then(super::watched::signatures)
            .transpose()?;
        if !test {
            for rule in detector.rules() {
                writeln!(out, "ok  {}  {}", rule.id, rule.title).or_fail(hint)?;
            }
            return match &own {
                Some(own) => content_rules(own, test, &mut out).or_fail(hint),
                None => Ok(ExitCode::SUCCESS),
            };
        }
        let outcomes = detect::test_examples(&rules, &mut |format, record| read(format, record));
        let mut failed = 0;
        for outcome in &outcomes {
            failed += u32::from(!outcome.passed);
            let word = if outcome.passed { "ok    " } else { "FAILED" };
            writeln!(out, "{word}  {}  {}", outcome.rule, outcome.description).or_fail(hint)?;
        }
        writeln!(
            out,
            "{} passed, {failed} failed",
            outcomes.len() - failed as usize
        )
        .or_fail(hint)?;
        let code = match &own {
            Some(own) => content_rules(own, test, &mut out).or_fail(hint)?,
            None => ExitCode::SUCCESS,
        };
        Ok(if failed > 0 { ExitCode::FAILURE } else { code })
    }
}

/// Says of content rules what is wrong with them, or whether their examples hold.
fn content_rules(
    rules: &Signatures,
    test: bool,
    out: &mut impl std::io::Write,
) -> Result<ExitCode, std::io::Error> {
    for refused in rules.refused() {
        writeln!(out, "FAILED  {refused}")?;
    }
    let names = rules.rules();
    let outcomes = if test { rules.test_rules() } else { Vec::new() };
    if !test {
        for (name, description) in &names {
            writeln!(out, "ok  {name}  {description}")?;
        }
    }
    let mut failed = rules.refused().len();
    for outcome in &outcomes {
        failed += usize::from(!outcome.passed);
        let word = if outcome.passed { "ok    " } else { "FAILED" };
        writeln!(out, "{word}  {}  {}", outcome.rule, outcome.example)?;
    }
    writeln!(out, "{} content rules, {failed} failed", names.len())?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Reads an example's records the way the pipeline does: masked, parsed, joined, shaped.
fn read(format: &str, records: &str) -> Result<Vec<Event<'static>>, String> {
    let format = format_named(format).map_err(|_| format!("there is no format `{format}`"))?;
    let context = Reading {
        zone: None,
        trusted_proxies: Vec::new(),
        table_prefix: String::new(),
        rules: None,
        stores: None,
    }
    .context()
    .map_err(|_| "the default context can't be made".to_owned())?;
    let masker = Masker::new(FingerprintKey::new([0; 32]));
    let mut intake = Intake::new(
        SourceId(String::new()),
        Generation::default(),
        0,
        format,
        TokenKey::default(),
    );
    let mut block = Block::default();
    intake.push(records.as_bytes(), true, &masker, &context, &mut block);
    let (mut state, mut joiner, mut joined) = (SourceState::default(), Joiner::new(), Vec::new());
    for (record, sequence) in block.records.iter().zip(0..) {
        let masked = block.bytes.get(record.range.clone()).unwrap_or_default();
        let mut event = format
            .parse(masked, &context, &mut state)
            .map_err(|error| error.to_string())?
            .into_owned();
        event.put_text(Field::Format, format.name());
        engine::judge::count_marks(&mut event, &record.marks);
        joiner.push(
            event,
            EventRef {
                sequence: Sequence(sequence),
                index: 0,
            },
            &mut joined,
        );
    }
    joiner.flush(&mut joined);
    let shapes = engine::judge::shipped_shapes()
        .map_err(|_| "the shipped shapes can't be read".to_owned())?;
    let mut shaper = detect::shape::Shaper::new(String::new(), shapes);
    Ok(joined
        .into_iter()
        .map(|joined| {
            let mut event = joined.event;
            if event.category == Category::Database {
                let _judged = shaper.enrich(&mut event);
            }
            event.into_owned()
        })
        .collect())
}
