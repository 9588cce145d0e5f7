//! Walks: the same shape asked again and again with a literal that steps on – key by key, page by page.
//!
//! Follows `threats.md` §2.1 (`db-chd-crawl-offset`, `db-chd-crawl-keyset`) and §5.6. Others' reads
//! between the steps don't hide a walk, because several chains are followed for each account and
//! shape. Bounded: the account and shape that stepped longest ago goes first.

use std::collections::BTreeMap;

use model::Timestamp;

/// A row of it is inserted with each order, and much else is then read by the order's new key.
const ORDERS: &str = "sales_order_payment";
/// Accounts with shapes followed at once.
const GROUPS_MAX: usize = 4096;
/// Tables whose new rows are counted.
const INSERTED_MAX: usize = 1024;
/// Chains of steps followed for each of them.
const CHAINS_MAX: usize = 16;
/// Widest step from key to key that still walks.
const STEP_MAX: u64 = 3;
/// Seconds without a step after which a chain ends.
const QUIET_SECONDS: i64 = 300;
/// Steps after which keys are walked through.
const KEYS_MIN: u64 = 50;
/// Steps after which pages are walked through.
const PAGES_MIN: u64 = 5;

#[derive(Clone, Copy)]
struct Chain {
    last: i64,
    time: Timestamp,
    up: bool,
    steps: u64,
    /// Rows inserted before its last step.
    inserted: u64,
    /// Its last step came after a new row, whose key it may only follow: no step of a walk.
    follows: bool,
}

struct Group {
    chains: Vec<Chain>,
    touched: u64,
}

/// Every account and shape that may walk.
#[derive(Default)]
pub(super) struct Walks {
    groups: BTreeMap<(String, u64), Group>,
    /// Rows seen to be inserted, by log format and table: reads that follow new orders step on too.
    inserted: BTreeMap<(String, String), u64>,
    clock: u64,
}

/// One literal of an account's shape.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) account: &'a str,
    pub(super) shape: u64,
    /// Tables the shape names.
    pub(super) tables: &'a [String],
    pub(super) literal: i64,
    /// Whether the literal is an OFFSET, which steps by any width.
    pub(super) pages: bool,
    pub(super) time: Timestamp,
}

impl Walks {
    /// Notes a row inserted into a table, as a log of this format tells it.
    pub(super) fn inserted(&mut self, format: &str, table: &str) {
        let key = (format.to_owned(), table.to_owned());
        if self.inserted.len() < INSERTED_MAX || self.inserted.contains_key(&key) {
            *self.inserted.entry(key).or_default() += 1;
        }
    }

    /// Takes a literal; gives whether it belongs to a walk.
    pub(super) fn push(&mut self, step: Step<'_>) -> bool {
        self.clock += 1;
        if self.groups.len() >= GROUPS_MAX {
            let mut ages: Vec<u64> = self.groups.values().map(|group| group.touched).collect();
            ages.sort_unstable();
            let limit = ages.get(GROUPS_MAX / 4).copied().unwrap_or(0);
            self.groups.retain(|_, group| group.touched > limit);
        }
        // Several logs tell of one insert: the one that tells most counts.
        let inserted = self
            .inserted
            .iter()
            .filter(|((_, table), _)| step.tables.contains(table) || table == ORDERS)
            .map(|(_, rows)| *rows)
            .max()
            .unwrap_or(0);
        let group = self
            .groups
            .entry((step.account.to_owned(), step.shape))
            .or_insert_with(|| Group {
                chains: Vec::new(),
                touched: 0,
            });
        group.touched = self.clock;
        let steps = group.step(step, inserted);
        steps >= if step.pages { PAGES_MIN } else { KEYS_MIN }
    }
}

impl Chain {
    /// Steps of the walk that the last step belongs to.
    const fn walked(&self) -> u64 {
        if self.follows { 0 } else { self.steps }
    }
}

impl Group {
    /// Takes a literal; gives the steps walked with it.
    fn step(&mut self, step: Step<'_>, inserted: u64) -> u64 {
        let Step {
            literal,
            pages,
            time,
            ..
        } = step;
        self.chains
            .retain(|chain| time.seconds_since(chain.time) <= QUIET_SECONDS);
        // The same again, e.g. a twin in another log, is no step.
        if let Some(chain) = self.chains.iter().rfind(|chain| chain.last == literal) {
            return chain.walked();
        }
        let next = self.chains.iter_mut().filter(|chain| {
            let up = literal > chain.last;
            let near = pages && up || literal.abs_diff(chain.last) <= STEP_MAX;
            near && (chain.steps == 0 || chain.up == up)
        });
        if let Some(chain) = next.max_by_key(|chain| chain.steps) {
            chain.up = literal > chain.last;
            chain.last = literal;
            chain.time = chain.time.max(time);
            chain.follows = !pages && inserted > chain.inserted;
            chain.inserted = inserted;
            chain.steps += u64::from(!chain.follows);
            return chain.walked();
        }
        if self.chains.len() >= CHAINS_MAX {
            let oldest = self
                .chains
                .iter()
                .enumerate()
                .min_by_key(|(_, chain)| (chain.steps, chain.time))
                .map(|(index, _)| index);
            if let Some(oldest) = oldest {
                self.chains.remove(oldest);
            }
        }
        self.chains.push(Chain {
            last: literal,
            time,
            up: true,
            steps: 0,
            inserted,
            follows: false,
        });
        0
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Walks};
    use model::Timestamp;

    /// Pushes literals a second apart; gives whether the last one walks.
    fn walks(literals: impl Iterator<Item = i64>, pages: bool) -> bool {
        let mut walks = Walks::default();
        let mut last = false;
        for (second, literal) in (0..).zip(literals) {
            last = walks.push(Step {
                account: "a",
                shape: 1,
                tables: &["t".to_owned()],
                literal,
                pages,
                time: Timestamp(second * Timestamp::SECOND),
            });
        }
        last
    }

    #[test]
    fn keys_one_after_the_other_are_a_walk_in_either_direction() {
        assert!(walks(100..160, false));
        assert!(walks((100..160).rev(), false));
        assert!(walks((100..220).step_by(2), false));
    }

    #[test]
    fn keys_as_shoppers_ask_for_them_are_no_walk() {
        assert!(!walks((0..4000).map(|n| n * 7919 % 100_003), false));
        assert!(!walks(std::iter::repeat_n(5, 200), false));
        assert!(!walks(100..140, false), "one page of a list");
    }

    #[test]
    fn others_between_the_steps_do_not_hide_a_walk() {
        let mixed = (0..60).flat_map(|n| {
            [
                1000 + n,
                n * 7919 % 100_003 + 5000,
                n * 31_337 % 70_001 + 200_000,
            ]
        });
        assert!(walks(mixed.take(178), false));
    }

    #[test]
    fn reads_that_follow_new_orders_are_no_walk() {
        let mut walks = Walks::default();
        for order in 0..200 {
            walks.inserted("audit", "sales_order_payment");
            assert!(!walks.push(Step {
                account: "a",
                shape: 1,
                tables: &["t".to_owned()],
                literal: order,
                pages: false,
                time: Timestamp(order * Timestamp::SECOND),
            }));
        }
    }

    #[test]
    fn a_walk_ends_where_new_orders_begin() {
        let mut walks = Walks::default();
        let push = |walks: &mut Walks, order: i64| {
            walks.push(Step {
                account: "a",
                shape: 1,
                tables: &["t".to_owned()],
                literal: order,
                pages: false,
                time: Timestamp(order * Timestamp::SECOND),
            })
        };
        assert!((0..100).any(|order| push(&mut walks, order)));
        for order in 100..110 {
            walks.inserted("audit", "sales_order_payment");
            assert!(!push(&mut walks, order), "first witness");
            assert!(!push(&mut walks, order), "its twin");
        }
    }

    #[test]
    fn pages_that_grow_are_a_walk() {
        assert!(walks((0..8).map(|page| page * 200), true));
        assert!(!walks([0, 200, 400].into_iter(), true));
    }
}
