//! A map of very many small things: kept in one sorted list, the latest beside it in a tree until there are enough of them.
//!
//! A tree alone takes twice what it holds. Nothing is taken out.

use std::collections::BTreeMap;

/// The latest are sorted into the list when there are so many of them, or a sixteenth of it.
const LATEST_MIN: usize = 4096;

/// The key's halves, the higher one first: as one number it would be padded.
type Key = [u64; 2];

/// Values by 128-bit keys.
#[derive(Debug)]
pub(crate) struct Compact<V> {
    sorted: Vec<(Key, V)>,
    /// None of these is in the list.
    latest: BTreeMap<Key, V>,
}

impl<V> Default for Compact<V> {
    fn default() -> Self {
        let (sorted, latest) = (Vec::new(), BTreeMap::new());
        Self { sorted, latest }
    }
}

impl<V: Copy + Default> Compact<V> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.sorted.len() + self.latest.len()
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: u128) -> Option<V> {
        let key = halves(key);
        match self.find(key) {
            Ok(at) => self.sorted.get(at).map(|(_, value)| *value),
            Err(_) => self.latest.get(&key).copied(),
        }
    }

    /// The value of a key, made where there is none.
    pub(crate) fn entry(&mut self, key: u128) -> &mut V {
        if self.latest.len() >= LATEST_MIN.max(self.sorted.len() / 16) {
            let latest = std::mem::take(&mut self.latest);
            self.sorted.reserve_exact(latest.len());
            self.sorted.extend(latest);
            self.sorted.sort_unstable_by_key(|(key, _)| *key);
        }
        let key = halves(key);
        match self.find(key) {
            Ok(at) => &mut self.sorted[at].1,
            Err(_) => self.latest.entry(key).or_default(),
        }
    }

    fn find(&self, key: Key) -> Result<usize, usize> {
        self.sorted.binary_search_by_key(&key, |(key, _)| *key)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
const fn halves(key: u128) -> Key {
    [(key >> 64) as u64, key as u64]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Compact, LATEST_MIN};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_holds_what_a_tree_holds(steps in proptest::collection::vec((0..40_000_u128, any::<u32>()), 0..3 * LATEST_MIN)) {
            let (mut compact, mut tree) = (Compact::default(), BTreeMap::new());
            for (key, value) in steps {
                let key = key << 60;
                *compact.entry(key) = value;
                tree.insert(key, value);
            }
            prop_assert_eq!(compact.len(), tree.len());
            for key in 0..40_000_u128 {
                prop_assert_eq!(compact.get(key << 60), tree.get(&(key << 60)).copied());
            }
        }
    }
}
