//! One run as the console knows it: what people asked of it, and what its host told. A fold over sealed entries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Ask, Instructed, Order, Person, Plan, Refused, RunEntry, Sequence, Timestamp, Word};
use playbook::{Run, RunError, Turn, hash_words};

use super::evidence::Evidence;
use super::stage::{Misfit, Stage};

/// Seconds after which an order that its host didn't hear isn't carried out any more: what was decided on how things stood then isn't
/// done hours later.
pub const ORDER_SECONDS_MAX: i64 = 3600;

/// An order as it was sealed.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Where it stands in the ledger.
    pub sequence: Sequence,
    /// The order.
    pub order: Order,
}

/// A run and what was asked of it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its id.
    pub run: String,
    /// The incident; empty for one that was begun on its host by hand.
    pub incident: String,
    /// The host that carries it out.
    pub host: String,
    /// The plan; shared, since a run is copied for each entry that its host tells.
    pub plan: Arc<Plan>,
    /// SHA-256 over it, hexadecimal.
    pub hash: String,
    /// What people asked, in order of the ledger.
    pub orders: Vec<Ordered>,
    /// Orders its host won't carry out, by their ids.
    pub refused: BTreeMap<String, Refused>,
    /// What its host told; `None` before it began.
    pub carried: Option<Run>,
    /// Where the entries that it told stand in the ledger, in their order.
    pub told: Vec<Sequence>,
    /// What of its evidence is in the ledger itself.
    pub evidence: Evidence,
}

impl Standing {
    /// Of a plan that somebody asks for.
    ///
    /// # Errors
    ///
    /// [`Misfit`] when it is no proposal, or its hash isn't the plan's.
    pub fn proposed(order: &Order, sequence: Sequence) -> Result<Self, Misfit> {
        let Ask::Propose {
            host, plan, hash, ..
        } = &order.ask
        else {
            return Err(Misfit::NoRun);
        };
        if *hash != hash_words(plan) {
            return Err(Misfit::OtherPlan);
        }
        Ok(Self {
            run: order.run.clone(),
            incident: order.incident.clone(),
            host: host.clone(),
            plan: Arc::new((**plan).clone()),
            hash: hash.clone(),
            orders: vec![Ordered {
                sequence,
                order: order.clone(),
            }],
            refused: BTreeMap::new(),
            carried: None,
            told: Vec::new(),
            evidence: Evidence::default(),
        })
    }

    /// Of a run that its host began by itself.
    ///
    /// # Errors
    ///
    /// [`RunError`] when the entry begins none.
    pub fn begun(host: &str, entry: &RunEntry, sequence: Sequence) -> Result<Self, RunError> {
        let run = Run::begin(entry)?;
        Ok(Self {
            run: run.id.clone(),
            incident: String::new(),
            host: host.to_owned(),
            plan: Arc::clone(&run.plan),
            hash: run.hash.clone(),
            orders: Vec::new(),
            refused: BTreeMap::new(),
            carried: Some(run),
            told: vec![sequence],
            evidence: Evidence::default(),
        })
    }

    /// Who approved it: whoever asked for it, where they may approve, and those after them.
    #[must_use]
    pub fn approvals(&self) -> Vec<&Ordered> {
        let all = self.orders.iter();
        all.filter(|one| approves(&one.order)).collect()
    }

    /// People it takes.
    #[must_use]
    pub fn needs(&self) -> usize {
        if self.plan.needs_two_people { 2 } else { 1 }
    }

    /// Whoever asked for it.
    #[must_use]
    pub fn asked_by(&self) -> Option<&Ordered> {
        self.orders.first()
    }

    fn withdrawn(&self) -> bool {
        self.orders
            .iter()
            .any(|one| matches!(one.order.ask, Ask::Withdraw))
    }

    /// Those of `approvals`, in their order, that count at a time: what was decided on how things stood then is decided anew after its
    /// hour, or after its host refused to begin.
    fn counting<'a>(&self, approvals: &[&'a Ordered], at: Timestamp) -> Vec<&'a Ordered> {
        let is_refused = |one: &&Ordered| self.refused.contains_key(&one.order.id);
        let refused = approvals.iter().rposition(is_refused);
        let after = approvals.iter().skip(refused.map_or(0, |last| last + 1));
        after
            .filter(|one| !is_late(&one.order, at))
            .copied()
            .collect()
    }

    /// The approvals that let it begin, the newest of them last, whether or not that was in vain; `None` before enough people approved
    /// within an hour.
    fn beginning(&self) -> Option<Vec<&Ordered>> {
        let approvals = self.approvals();
        let ends = (0..approvals.len()).rev();
        let mut begun = ends.filter_map(|last| {
            let (before, newest) = (approvals.get(..last)?, *approvals.get(last)?);
            let mut counted = self.counting(before, newest.order.at);
            counted.push(newest);
            (people_of(&counted).len() >= self.needs()).then_some(counted)
        });
        begun.next()
    }

    /// Where it is.
    #[must_use]
    pub fn stage(&self, now: Timestamp) -> Stage {
        if let Some(run) = &self.carried {
            return match run.turn() {
                _ if run.is_closed => Stage::Closed,
                Turn::Wait(wait) => Stage::Waits(wait),
                Turn::Nothing if run.undo.is_some() => Stage::Undone,
                Turn::Nothing => Stage::Done,
                _ => Stage::Running,
            };
        }
        if self.withdrawn() {
            return Stage::Withdrawn;
        }
        let anew = people_of(&self.counting(&self.approvals(), now)).len();
        let lacks = self.needs().saturating_sub(anew);
        let beginning = self.beginning().and_then(|all| all.last().copied());
        let Some(beginning) = beginning else {
            return Stage::Proposed { lacks };
        };
        let refused = self.refused.get(&beginning.order.id);
        let is_vain = refused.is_some() || is_late(&beginning.order, now);
        // Until somebody approves anew, that it came to nothing is what counts.
        if is_vain && anew > 0 {
            return Stage::Proposed { lacks };
        }
        if let Some(refused) = refused {
            let why = refused.why.clone();
            return Stage::Refused { why };
        }
        if is_vain {
            return Stage::Lapsed;
        }
        Stage::Ordered
    }

    /// Whether an order may be taken as things stand. That its plan is what a playbook makes is for whoever asks.
    ///
    /// # Errors
    ///
    /// [`Misfit`], in words for whoever asks.
    pub fn may(&self, order: &Order) -> Result<(), Misfit> {
        match &order.ask {
            Ask::Propose { .. } => Err(Misfit::Known),
            Ask::Approve { hash } => self.may_approve(order, hash),
            Ask::Withdraw => match self.stage(order.at) {
                Stage::Withdrawn => Err(Misfit::Late("the plan was withdrawn already".to_owned())),
                _ if self.carried.is_some() => Err(Misfit::Late(
                    "the plan is being carried out: undo the run instead".to_owned(),
                )),
                _ => Ok(()),
            },
            Ask::Say { seen, word } => self.may_say(order, *seen, *word),
            _ => Err(Misfit::NoRun),
        }
    }

    fn may_approve(&self, order: &Order, hash: &str) -> Result<(), Misfit> {
        self.takes_approval(&order.by.account, order.at)?;
        match hash == self.hash {
            true => Ok(()),
            false => Err(Misfit::OtherPlan),
        }
    }

    /// Whether an account's approval would count now.
    ///
    /// # Errors
    ///
    /// [`Misfit`], in words for whoever asks.
    pub fn takes_approval(&self, account: &str, now: Timestamp) -> Result<(), Misfit> {
        let late = |why: &str| Err(Misfit::Late(why.to_owned()));
        if self.carried.is_some() {
            return late("the plan is being carried out");
        }
        if self.withdrawn() {
            return late("the plan was withdrawn: ask for it anew");
        }
        if self.stage(now) == Stage::Ordered {
            return late("enough people approved it already");
        }
        let is_same = |one: &Ordered| one.order.by.account == account;
        // Who could only ask can't approve it later either.
        let asked = self.asked_by().filter(|one| !approves(&one.order));
        if asked.is_some_and(is_same) {
            return Err(Misfit::Own);
        }
        if self
            .counting(&self.approvals(), now)
            .into_iter()
            .any(is_same)
        {
            return Err(Misfit::Twice);
        }
        Ok(())
    }

    fn may_say(&self, order: &Order, seen: u64, word: Word) -> Result<(), Misfit> {
        let Some(run) = &self.carried else {
            return Err(Misfit::Late("the run hasn't begun".to_owned()));
        };
        if word.is_answer() && seen != run.entries {
            return Err(Misfit::Moved);
        }
        let is_said = |one: &Ordered| {
            one.order.by.account == order.by.account && same_word(&one.order, seen, word)
        };
        if self.open_words(order.at).into_iter().any(is_said) {
            return Err(Misfit::Late("you said so already".to_owned()));
        }
        let people = self.people(seen, word, order.at, Some(&order.by));
        // A word that takes two is looked at as if both had said it: the first waits for the second.
        let mut people = people;
        if word == Word::Waive && people.len() == 1 {
            people.push(Person {
                account: "somebody else".to_owned(),
                name: String::new(),
            });
        }
        run.may(&run.said(word, &people, &order.note)?)?;
        Ok(())
    }

    /// Words whose host has yet to answer.
    fn open_words(&self, now: Timestamp) -> Vec<&Ordered> {
        let is_open = |one: &&Ordered| self.is_unanswered(&one.order) && !is_late(&one.order, now);
        self.orders.iter().filter(is_open).collect()
    }

    /// Different people who say a word now.
    fn people(&self, seen: u64, word: Word, now: Timestamp, more: Option<&Person>) -> Vec<Person> {
        let open = self.open_words(now).into_iter();
        let said = open.filter(|one| same_word(&one.order, seen, word));
        let mut known = BTreeSet::new();
        let all = said.map(|one| &one.order.by).chain(more);
        all.filter(|person| known.insert(person.account.clone()))
            .cloned()
            .collect()
    }

    /// What its host is to do now: the order's id, who decided it, until when, and what.
    #[must_use]
    pub fn instructions(
        &self,
        now: Timestamp,
    ) -> Vec<(String, Vec<Person>, Timestamp, Instructed)> {
        let mut out = Vec::new();
        if self.stage(now) == Stage::Ordered
            && let Some(all) = self.beginning()
            && let Some(last) = all.last()
        {
            let by = people_of(&all);
            let answers = match self.asked_by().map(|one| &one.order.ask) {
                Some(Ask::Propose { answers, .. }) => answers.clone(),
                _ => BTreeMap::new(),
            };
            let what = Instructed::Begin {
                plan: Box::new(Plan::clone(&self.plan)),
                hash: self.hash.clone(),
                answers,
            };
            out.push((last.order.id.clone(), by, until(&last.order), what));
        }
        let mut waived = BTreeSet::new();
        for one in self.open_words(now) {
            let Ask::Say { seen, word } = one.order.ask else {
                continue;
            };
            let by = self.people(seen, word, now, None);
            if word == Word::Waive && (by.len() < 2 || !waived.insert(seen)) {
                continue;
            }
            let by = if word == Word::Waive {
                by
            } else {
                vec![one.order.by.clone()]
            };
            let note = one.order.note.clone();
            let what = Instructed::Say { seen, word, note };
            out.push((one.order.id.clone(), by, until(&one.order), what));
        }
        out
    }

    /// Words that were said and that its host hasn't answered yet, with whose they are.
    #[must_use]
    pub fn unheard(&self, now: Timestamp) -> Vec<(Word, &Person)> {
        let open = self.open_words(now).into_iter();
        open.filter_map(|one| match one.order.ask {
            Ask::Say { word, .. } => Some((word, &one.order.by)),
            _ => None,
        })
        .collect()
    }

    /// Whether a word was said that its host didn't take within its hour, and won't.
    #[must_use]
    pub fn is_lapsed(&self, order: &Order, now: Timestamp) -> bool {
        self.is_unanswered(order) && is_late(order, now)
    }

    fn is_unanswered(&self, order: &Order) -> bool {
        let taken = self.carried.as_ref().map(|run| &run.orders);
        matches!(order.ask, Ask::Say { .. })
            && !taken.is_some_and(|taken| taken.contains(&order.id))
            && !self.refused.contains_key(&order.id)
    }

    /// Whether it was begun by hand on its host: what is said to it is said there.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        let carried = self.carried.as_ref();
        carried.is_some_and(|run| run.orders.is_empty())
    }

    /// Takes an order that is sealed; it was asked whether it may be before.
    pub fn take(&mut self, order: &Order, sequence: Sequence) {
        self.orders.push(Ordered {
            sequence,
            order: order.clone(),
        });
    }

    /// Takes what its host told; told before, it changes nothing.
    ///
    /// # Errors
    ///
    /// [`RunError`] when it doesn't follow, or isn't what was approved.
    pub fn hear(&mut self, entry: &RunEntry, sequence: Sequence) -> Result<(), RunError> {
        match &mut self.carried {
            Some(run) => {
                let before = run.entries;
                run.take(entry)?;
                if run.entries > before {
                    self.told.push(sequence);
                }
            }
            None => {
                let run = Run::begin(entry)?;
                // A host that began something else than what people read and approved says something untrue of one of the two.
                let is_ordered = self
                    .approvals()
                    .iter()
                    .any(|one| one.order.id == entry.order);
                if run.hash != self.hash || !is_ordered {
                    return Err(RunError::OtherPlan);
                }
                self.plan = Arc::clone(&run.plan);
                self.carried = Some(run);
                self.told = vec![sequence];
            }
        }
        Ok(())
    }

    /// Entries that its host told so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.carried.as_ref().map_or(0, |run| run.entries)
    }
}

fn approves(order: &Order) -> bool {
    match &order.ask {
        Ask::Propose { signs, .. } => *signs,
        Ask::Approve { .. } => true,
        _ => false,
    }
}

/// Different people among those who ordered.
fn people_of(orders: &[&Ordered]) -> Vec<Person> {
    let mut known = BTreeSet::new();
    let all = orders.iter().map(|one| &one.order.by);
    all.filter(|person| known.insert(&person.account))
        .cloned()
        .collect()
}

fn same_word(order: &Order, seen: u64, word: Word) -> bool {
    matches!(order.ask, Ask::Say { seen: other, word: said } if said == word && (other == seen || !word.is_answer()))
}

fn until(order: &Order) -> Timestamp {
    order.at.plus_seconds(ORDER_SECONDS_MAX)
}

fn is_late(order: &Order, now: Timestamp) -> bool {
    now >= until(order)
}
