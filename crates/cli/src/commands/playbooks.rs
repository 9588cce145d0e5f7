//! `magewarden playbooks`: which there are, what they do, whether one is sound, and what one would do about an incident.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::content;
use model::{Layer, Plan, PlanStep, Stops, Work};
use playbook::{Document, PlanError, Problem, Weight};

use super::settings::read_stores;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Show playbooks, check one, or say what one would do
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden playbooks\n  magewarden playbooks show web-shell\n  magewarden playbooks check my-playbook.json\n  magewarden playbooks plan database-account-stolen --set __account__=report@% --set __is_shop_account__=false\n  magewarden playbooks plan web-shell --set __file__=pub/media/x.php --stores stores.toml --json"
)]
pub(crate) struct Playbooks {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// List the playbooks that ship (what is done when nothing else is said)
    List,
    /// Show a playbook in words and as a drawing
    #[command(after_help = "Example:\n  magewarden playbooks show skimmer-in-files")]
    Show {
        /// Name of one that ships, or a file
        playbook: String,
        /// As the CACAO document, to be used elsewhere
        #[arg(long)]
        json: bool,
    },
    /// Say what is wrong with a playbook: by CACAO 2.0, by what actions do, by the order of its steps
    #[command(after_help = "Example:\n  magewarden playbooks check my-playbook.json")]
    Check {
        /// Name of one that ships, or a file
        playbook: String,
    },
    /// Say what a playbook would do, to whom, what undoes it, and what has to be answered first; nothing is done
    #[command(
        after_help = "Example:\n  magewarden playbooks plan database-account-stolen --set __account__=report@%"
    )]
    Plan {
        /// Name of one that ships, or a file
        playbook: String,
        /// Value of a variable, as often as there are some
        #[arg(long, value_name = "__NAME__=VALUE")]
        set: Vec<String>,
        /// Websites, stores and views of the shop (TOML; docs/stores.md), to say whom a step reaches
        #[arg(long, value_name = "FILE")]
        stores: Option<PathBuf>,
        /// As canonical JSON, whose SHA-256 is what would be approved
        #[arg(long)]
        json: bool,
    },
}

const OUTPUT: &str = "check where the output goes";

impl Playbooks {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        match self.what.unwrap_or(What::List) {
            What::List => list(&mut out),
            What::Show { playbook, json } => show(&read(&playbook)?, json, &mut out),
            What::Check { playbook } => check(&read(&playbook)?, &mut out),
            What::Plan {
                playbook,
                set,
                stores,
                json,
            } => {
                let values = values(&set)?;
                let stores = read_stores(stores.as_deref())?;
                let document = read(&playbook)?;
                let plan =
                    playbook::plan(&document, &values, &engine::containment::facts(), &stores)
                        .map_err(|error| refused(&error))?;
                if json {
                    out.write_all(&playbook::canonical(&plan)).or_fail(OUTPUT)?;
                    writeln!(out).or_fail(OUTPUT)?;
                } else {
                    print(&plan, &mut out).or_fail(OUTPUT)?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

/// The name of one that ships, from its path below `content/`.
fn name_of(path: &str) -> &str {
    let path = path.strip_prefix("playbooks/").unwrap_or(path);
    path.strip_suffix(".json").unwrap_or(path)
}

fn read(playbook: &str) -> Result<Document, Failure> {
    let shipped = content::under("playbooks/", ".json").find(|(path, _)| name_of(path) == playbook);
    let bytes = match shipped {
        Some((_, text)) => text.as_bytes().to_vec(),
        None => std::fs::read(playbook)
            .or_fail("name a file, or a playbook that `magewarden playbooks` lists")?,
    };
    Document::read(&bytes).or_fail("docs/playbooks.md says what can be read")
}

fn values(set: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let one = |text: &String| {
        let pair = text.split_once('=');
        let (name, value) = pair.ok_or_else(|| {
            Failure::say(
                "`--set` has no `=`",
                "write it as --set __account__=report@%",
            )
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    set.iter().map(one).collect()
}

fn list(out: &mut impl Write) -> Result<ExitCode, Failure> {
    for (path, text) in content::under("playbooks/", ".json") {
        let document = Document::read(text.as_bytes()).or_fail("report it: it ships")?;
        let (name, description) = (name_of(path), inert(&document.description));
        writeln!(
            out,
            "{name:<32} {}\n{:<32} {description}",
            inert(&document.name),
            ""
        )
        .or_fail(OUTPUT)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(document: &Document, json: bool, out: &mut impl Write) -> Result<ExitCode, Failure> {
    if json {
        out.write_all(document.write().as_bytes()).or_fail(OUTPUT)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{}\n{}\n",
        inert(&document.name),
        inert(&document.description)
    )
    .or_fail(OUTPUT)?;
    let examples = document.examples();
    for (name, variable) in &document.variables {
        let example = examples
            .get(name)
            .map(|one| format!(", e.g. {one}"))
            .unwrap_or_default();
        let line = format!("{name}  {}{example}", variable.description);
        writeln!(out, "{}", inert(&line)).or_fail(OUTPUT)?;
    }
    writeln!(out).or_fail(OUTPUT)?;
    for line in playbook::diagram(document).lines() {
        writeln!(out, "{}", inert(line)).or_fail(OUTPUT)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn problem(one: &Problem) -> String {
    let word = match one.weight {
        Weight::Refuses => "FAILED",
        Weight::Notes => "note  ",
    };
    inert(&format!("{word}  {one}"))
}

fn check(document: &Document, out: &mut impl Write) -> Result<ExitCode, Failure> {
    let facts = engine::containment::facts();
    let mut problems = playbook::check(document);
    problems.extend(playbook::fits(document, &facts));
    for one in &problems {
        writeln!(out, "{}", problem(one)).or_fail(OUTPUT)?;
    }
    let refusals = playbook::orders(document, &facts);
    for one in &refusals {
        writeln!(out, "FAILED  {}", inert(&one.says)).or_fail(OUTPUT)?;
    }
    let is_refused =
        !refusals.is_empty() || problems.iter().any(|one| one.weight == Weight::Refuses);
    let word = if is_refused { "refused" } else { "ok" };
    writeln!(out, "{word}  {}", inert(&document.name)).or_fail(OUTPUT)?;
    Ok(ExitCode::from(u8::from(is_refused)))
}

fn refused(error: &PlanError) -> Failure {
    let hint = match error {
        PlanError::Problems { .. } | PlanError::Order { .. } => {
            "`magewarden playbooks check` lists all of them"
        }
        PlanError::NoVariable { .. } => "`magewarden playbooks show` lists its variables",
        _ => "give --set a value of that kind",
    };
    Failure::new(error, hint)
}

/// A plan for people; whatever stands in it is made inert.
fn print(plan: &Plan, out: &mut impl Write) -> std::io::Result<()> {
    let hash = playbook::hash_words(plan);
    writeln!(out, "{}", inert(&plan.playbook.name))?;
    writeln!(
        out,
        "{}, because {}",
        plan.stops.words(),
        inert(&plan.because)
    )?;
    if plan.needs_two_people {
        writeln!(out, "two people have to approve it")?;
    }
    for question in &plan.questions {
        writeln!(
            out,
            "asks  {}  {}",
            inert(&question.about),
            inert(&question.asks)
        )?;
    }
    for (at, step) in plan.steps.iter().enumerate() {
        writeln!(out, "\n{:>2}. {}", at + 1, inert(&step.name))?;
        for line in step_lines(step) {
            writeln!(out, "    {}", inert(&line))?;
        }
    }
    writeln!(out, "\nsha256 {hash}")
}

fn step_lines(step: &PlanStep) -> Vec<String> {
    let mut out = Vec::new();
    for guard in &step.only_if {
        let not = if guard.holds { "" } else { "not " };
        out.push(format!("only if {not}{}", guard.condition));
    }
    match &step.work {
        Work::Action {
            action,
            arguments,
            missing,
            touched,
            undo,
            stays_open,
            ..
        } => {
            let given = arguments
                .iter()
                .map(|(name, value)| format!("{name} {value}"));
            let asked = missing
                .iter()
                .map(|(name, variable)| format!("{name} {variable} (not known yet)"));
            let all: Vec<_> = given.chain(asked).collect();
            out.push(format!("{action}  {}", all.join(", ")));
            out.push(format!("reaches {}", playbook::whom(touched)));
            out.push(format!("undone: {}", undo.words));
            if !stays_open.is_empty() {
                out.push(format!("stays open: {stays_open}"));
            }
        }
        Work::Person { does } => {
            out.push("for a person".to_owned());
            out.extend(does.iter().cloned());
        }
    }
    // Of what only keeps or looks nobody asks whether it stops anything.
    let is_cut = matches!(&step.work, Work::Action { layer, .. } if *layer != Layer::Evidence);
    if is_cut || step.stops == Stops::Contains {
        out.push(step.stops.words().to_owned());
    }
    if let Some(seconds) = step.deadline_seconds {
        out.push(format!("within {} minutes", seconds.div_ceil(60)));
    }
    if let Some(time) = step.timeout_words() {
        out.push(format!(
            "counts as failed unless it is done within {time} of its turn"
        ));
    }
    if !step.on_breach.is_hold() {
        out.push(step.on_breach.words().to_owned());
    }
    if let Some(waiver) = &step.waiver {
        out.push(format!("nothing is kept before it: {waiver}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use model::{ActionFacts, Undo};
    use playbook::EXPECTED;

    #[test]
    fn actions_are_what_playbooks_count_on() {
        // Words may differ; what planning and order go by may not.
        let plain = |facts: &ActionFacts| {
            let parameters = facts.parameters.iter();
            let parameters: Vec<_> = parameters
                .map(|one| (one.name, one.kind, one.is_required))
                .collect();
            let undo = match facts.undo {
                Undo::AllBut(_) => Undo::AllBut(""),
                Undo::MadeAnew(_) => Undo::MadeAnew(""),
                other => other,
            };
            (
                facts.name,
                parameters,
                facts.forensic_impact,
                undo,
                facts.layer,
                facts.reach,
                facts.acts_on_cause,
            )
        };
        for action in responders::ACTIONS {
            let name = action.facts().name;
            let expected = EXPECTED.iter().find(|expected| expected.name == name);
            let expected = expected.expect("no playbook can name it");
            assert_eq!(plain(action.facts()), plain(expected));
        }
    }
}
