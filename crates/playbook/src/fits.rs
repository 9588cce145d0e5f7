//! Whether a playbook's steps use actions as they are.

use model::{ActionFacts, Argument, Layer, Stops, Undo};

use crate::document::Document;
use crate::extension::{Wanted, variable_of};
use crate::problem::{Problem, part, shown};

/// What is wrong with how a playbook's steps use actions: none of that name, parameters it doesn't have or lacks, values that
/// aren't of their kind, more said of it than it does.
#[must_use]
pub fn fits(document: &Document, facts: &[ActionFacts]) -> Vec<Problem> {
    let mut out = Vec::new();
    for (id, step) in &document.steps {
        let Some(wanted) = &step.wanted else {
            continue;
        };
        let at = format!("/workflow/{}/step_extensions/…", part(id));
        let Some(action) = &wanted.action else {
            continue;
        };
        let mut say = |says: String, hint: &str| out.push(Problem::refuses(&at, says, hint));
        let Some(known) = facts.iter().find(|one| one.name == action) else {
            say(
                format!("there is no action `{}`", shown(action)),
                "name one of docs/playbooks.md",
            );
            continue;
        };
        if wanted.effect == Some(Stops::Contains) && !known.acts_on_cause {
            say(
                format!("`{action}` doesn't act on the cause"),
                "say `mitigates`",
            );
        }
        if wanted
            .forensic_impact
            .is_some_and(|said| said < known.forensic_impact)
        {
            say(
                format!("`{action}` does more to evidence than is said here"),
                "leave it out, or say more",
            );
        }
        if let Some((says, hint)) = stays(action, wanted, known) {
            say(says, hint);
        }
        for parameter in known.parameters {
            if parameter.is_required && !wanted.arguments.contains_key(parameter.name) {
                say(
                    format!("`{action}` lacks `{}`", parameter.name),
                    parameter.about,
                );
            }
        }
        for (name, text) in &wanted.arguments {
            let Some(parameter) = known.parameters.iter().find(|one| one.name == name) else {
                say(
                    format!("`{action}` takes no `{}`", shown(name)),
                    "leave it out",
                );
                continue;
            };
            if variable_of(text).is_none()
                && let Err(error) = Argument::read(parameter.kind, text)
            {
                say(
                    format!("`{name}` is {error}"),
                    "mend it, or give it by a variable",
                );
            }
        }
    }
    out
}

/// Why a step can't be undone by the guard, if it is to be.
fn stays(action: &str, wanted: &Wanted, known: &ActionFacts) -> Option<(String, &'static str)> {
    if wanted.on_breach.is_hold() {
        return None;
    }
    if known.acts_on_cause && wanted.effect != Some(Stops::OnlyMitigates) {
        let says = format!("`{action}` acts on the cause: undone, the leak would go on");
        return Some((says, "say `hold`; a person decides"));
    }
    let gives_back =
        matches!(known.undo, Undo::Whole | Undo::AllBut(_)) && known.layer != Layer::Evidence;
    (!gives_back).then(|| {
        let says = format!("undoing `{action}` gives nothing back");
        (says, "say `hold`; a person decides")
    })
}
