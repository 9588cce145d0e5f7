//! Where a person's order enters: may they, does it fit, is the plan the one they read; then the outbox, as of any decision.

use std::collections::BTreeMap;

use model::{
    Ask, Layer, Order, Person, Plan, Principal, Right, Scope, StoreMap, Timestamp, Via, Word, Work,
};
use playbook::{Run, Turn, Wait, hash_words};

use super::{Containments, Playbooks, Standing, facts};
use crate::decider::{DecideError, Decider, id_of};
use crate::hide::{hide, is_hidden};
use crate::sealed::{Decided, VERSION};

/// Characters of a note, at most.
const NOTE_CHARS_MAX: usize = 2000;

/// What somebody wants of a run.
#[derive(Clone, Debug)]
pub struct OrderWish {
    /// The caller's word for it: asked twice with one, it counts once.
    pub key: Option<String>,
    /// Why, or what is to be remembered of it.
    pub note: String,
    /// What.
    pub wanted: Wanted,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// That a playbook be carried out for an incident.
    Propose {
        /// The incident.
        incident: String,
        /// The playbook, by its name in the list or its id.
        playbook: String,
        /// Values of its variables.
        values: BTreeMap<String, String>,
        /// Conditions that are answered with it.
        answers: BTreeMap<String, bool>,
        /// The host.
        host: String,
        /// Hash of the plan they read.
        hash: String,
    },
    /// That a plan be carried out that somebody else asked for.
    Approve {
        /// The run.
        run: String,
        /// Hash of the plan they read.
        hash: String,
    },
    /// That it isn't.
    Withdraw {
        /// The run.
        run: String,
    },
    /// A word to a run.
    Say {
        /// The run.
        run: String,
        /// How many of its entries they saw.
        seen: u64,
        /// The word.
        word: Word,
    },
}

/// Why there is no plan, in words.
fn refused(why: impl Into<String>) -> DecideError {
    DecideError::Refused { why: why.into() }
}

/// The plan that a playbook makes with these values.
///
/// # Errors
///
/// Why not, and what to do, in words.
pub fn plan_of(
    playbooks: &Playbooks,
    name: &str,
    values: &BTreeMap<String, String>,
    stores: &StoreMap,
) -> Result<Plan, String> {
    let playbook = playbooks.named(name).ok_or("there is no such playbook")?;
    let given = values.iter().filter(|(_, value)| !value.trim().is_empty());
    let given: BTreeMap<_, _> = given
        .map(|(name, value)| (name.clone(), value.trim().to_owned()))
        .collect();
    playbook::plan(&playbook.document, &given, &facts(), stores).map_err(|error| error.to_string())
}

/// The places whose people may decide on a plan: stores, where it reaches no more; the installation, which accounts, files and
/// addresses belong to.
#[must_use]
pub fn places_of(plan: &Plan) -> Vec<Scope> {
    let mut out = Vec::new();
    for step in &plan.steps {
        let Work::Action { layer, touched, .. } = &step.work else {
            continue;
        };
        if *layer == Layer::Evidence {
            continue;
        }
        let names_none = touched.views.is_empty() && touched.websites.is_empty();
        if touched.is_everything || touched.is_unknown || names_none {
            return vec![Scope::Installation];
        }
        out.extend(touched.views.iter().cloned().map(Scope::View));
        out.extend(touched.websites.iter().cloned().map(Scope::Website));
    }
    if out.is_empty() {
        out.push(Scope::Installation);
    }
    out
}

/// What somebody may do about a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Powers {
    /// Whether they may let it be carried out, where others asked for it.
    pub approve: bool,
    /// Whether their asking for it is approving it.
    pub decide: bool,
}

/// Whether an own playbook is as this account saved it.
#[must_use]
pub fn wrote(playbooks: &Playbooks, name: &str, account: &str) -> bool {
    let own = playbooks.named(name).and_then(|one| one.own.as_ref());
    own.is_some_and(|own| own.by.account == account)
}

/// Whether a person says it now: a program holds its token whoever sits at it.
const fn is_person(by: &Principal) -> bool {
    matches!(by.via, Via::Session | Via::BreakGlass { .. })
}

/// What somebody may do about a plan. Only people approve, whatever right a program's token has.
#[must_use]
pub fn powers(by: &Principal, plan: &Plan, stores: &StoreMap) -> Powers {
    let places = places_of(plan);
    let decide = by.may(Right::Decide, &places, stores);
    Powers {
        approve: is_person(by) && (decide || by.may(Right::Approve, &places, stores)),
        decide: is_person(by) && decide,
    }
}

impl Decider {
    /// Takes an order; gives the run's id and the number of its entry.
    ///
    /// # Errors
    ///
    /// [`DecideError`], each with what to do.
    pub async fn order(
        &self,
        by: &Principal,
        wish: OrderWish,
        now: Timestamp,
    ) -> Result<(String, u64), DecideError> {
        let mut note = wish.note.trim().to_owned();
        if note.chars().count() > NOTE_CHARS_MAX {
            return Err(refused(format!(
                "a note has {NOTE_CHARS_MAX} characters at most"
            )));
        }
        hide(&mut note);
        let id = id_of(by, wish.key.map(|key| format!("order {key}")));
        let mut person = Person {
            account: by.account.clone(),
            name: by.shown.clone(),
        };
        hide(&mut person.name);
        let (run, incident, ask) = match wish.wanted {
            Wanted::Propose { .. } => self.proposal(by, &id, wish.wanted, now)?,
            Wanted::Approve { run, hash } => {
                let standing = self.seen_run(by, &run)?;
                if !is_person(by) {
                    return Err(refused(
                        "approving takes a person: log in and approve it on the run's page",
                    ));
                }
                if !powers(by, &standing.plan, &self.inner().stores).approve {
                    let right = Right::Approve;
                    return Err(DecideError::NotAllowed { right });
                }
                (run, standing.incident.clone(), Ask::Approve { hash })
            }
            Wanted::Withdraw { run } => {
                let standing = self.seen_run(by, &run)?;
                let own = standing
                    .asked_by()
                    .is_some_and(|asked| asked.order.by.account == by.account);
                if !own {
                    self.needs(by, &standing, Right::Decide)?;
                }
                (run, standing.incident.clone(), Ask::Withdraw)
            }
            Wanted::Say { run, seen, word } => {
                let standing = self.seen_run(by, &run)?;
                let asks = standing.carried.as_ref().map(Run::turn);
                // Keeping a step that another store suffers from weighs as much as undoing it.
                let keeps = word == Word::Yes && matches!(asks, Some(Turn::Wait(Wait::Guard(_))));
                let right = match word {
                    Word::Yes if keeps => Right::Decide,
                    Word::Yes | Word::No | Word::Done | Word::Retry => Right::Work,
                    Word::Skip | Word::Waive | Word::Undo | Word::Close => Right::Decide,
                };
                self.needs(by, &standing, right)?;
                if standing.is_by_hand() {
                    return Err(refused(
                        "the run was begun by hand on its host: say it there",
                    ));
                }
                if word == Word::Waive && !is_person(by) {
                    return Err(refused(
                        "going on without evidence takes people: log in and say it on the run's page",
                    ));
                }
                let explains = matches!(word, Word::Skip | Word::Waive | Word::Undo | Word::Done);
                if (explains || keeps) && note.is_empty() {
                    return Err(refused(
                        "write why, or what was done: it is kept with the run",
                    ));
                }
                (run, standing.incident.clone(), Ask::Say { seen, word })
            }
        };
        let order = Order {
            id,
            run,
            incident,
            by: person,
            at: now,
            note,
            ask,
        };
        // As things stand; the one who seals looks once more.
        let known = self.inner().desk.run(&order.run);
        let mut now_known = Containments::default();
        now_known.0.extend(known.map(|one| (one.run.clone(), one)));
        if let Err(misfit) = now_known.may(&order) {
            return Err(refused(misfit.to_string()));
        }
        self.put_order(order).await
    }

    /// A run of an incident they see; one of none for who sees the whole installation.
    fn seen_run(&self, by: &Principal, run: &str) -> Result<std::sync::Arc<Standing>, DecideError> {
        let inner = self.inner();
        let standing = inner.desk.run(run).ok_or(DecideError::NotThere)?;
        let is_seen = match inner.desk.in_brief(&standing.incident) {
            Some(incident) => by.sees(&incident.scopes, &inner.stores),
            None => by.may_all(Right::SeeIncidents),
        };
        is_seen.then_some(standing).ok_or(DecideError::NotThere)
    }

    fn needs(&self, by: &Principal, standing: &Standing, right: Right) -> Result<(), DecideError> {
        let stores = &self.inner().stores;
        let is_fine = by.may(right, &places_of(&standing.plan), stores);
        is_fine
            .then_some(())
            .ok_or(DecideError::NotAllowed { right })
    }

    fn proposal(
        &self,
        by: &Principal,
        id: &str,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<(String, String, Ask), DecideError> {
        let Wanted::Propose {
            incident,
            playbook,
            values,
            answers,
            host,
            hash,
        } = wanted
        else {
            return Err(DecideError::NotThere);
        };
        let inner = self.inner();
        let brief = inner
            .desk
            .in_brief(&incident)
            .ok_or(DecideError::NotThere)?;
        if !by.sees(&brief.scopes, &inner.stores) {
            return Err(DecideError::NotThere);
        }
        let right = Right::Work;
        if !by.may(right, &brief.scopes, &inner.stores) {
            return Err(DecideError::NotAllowed { right });
        }
        // Masked, a value would name something else.
        if values.values().any(|value| is_hidden(value)) {
            return Err(refused("a value looks like a card number or a secret"));
        }
        let playbooks = inner.desk.playbooks();
        let plan = plan_of(&playbooks, &playbook, &values, &inner.stores).map_err(refused)?;
        if hash_words(&plan) != hash {
            return Err(refused(
                "the plan isn't the one you read, since a playbook or the stores changed: read it again",
            ));
        }
        for step in &plan.steps {
            if let Work::Action { missing, .. } = &step.work
                && let Some(variable) = missing.values().next()
            {
                return Err(refused(format!("the plan lacks a value for {variable}")));
            }
        }
        let asks = |condition: &String| plan.questions.iter().any(|one| one.about == *condition);
        if let Some(odd) = answers.keys().find(|condition| !asks(condition)) {
            return Err(refused(format!("the plan doesn't ask `{odd}`")));
        }
        if !inner.desk.hosts().contains_key(&host) {
            return Err(refused(
                "no host of that name has reported: enrol its agent first (docs/agent.md)",
            ));
        }
        // Who wrote a playbook doesn't let it be carried out alone.
        let is_theirs = wrote(&playbooks, &playbook, &by.account);
        let signs = !is_theirs && powers(by, &plan, &inner.stores).decide;
        // Asked twice with one key, it is one run.
        let run = crate::runs::id_of(now, id);
        let plan = Box::new(plan);
        let ask = Ask::Propose {
            host,
            plan,
            hash,
            answers,
            signs,
        };
        Ok((run, incident, ask))
    }

    async fn put_order(&self, order: Order) -> Result<(String, u64), DecideError> {
        let (id, run, written) = (order.id.clone(), order.run.clone(), order.at);
        let decided = Decided::Order {
            v: VERSION,
            order: Box::new(order.clone()),
        };
        let is_known = |known: &Decided| matches!(known, Decided::Order { order: known, .. } if is_same(known, &order));
        let put = self.seal((id, written), decided, None, is_known).await?;
        let run = match put.known {
            Some(Decided::Order { order: known, .. }) => known.run,
            _ => run,
        };
        Ok((run, put.sequence))
    }
}

/// Whether two are one wish, asked at different times: a proposal's run is named by when it was asked first.
fn is_same(one: &Order, other: &Order) -> bool {
    let run = |order: &Order| match order.ask {
        Ask::Propose { .. } => String::new(),
        _ => order.run.clone(),
    };
    (&one.by, &one.incident, &one.note, &one.ask, run(one))
        == (
            &other.by,
            &other.incident,
            &other.note,
            &other.ask,
            run(other),
        )
}
