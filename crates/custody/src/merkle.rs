//! The Merkle tree of RFC 9162 §2.1: hashes, the growing edge, proofs and their checks.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Hash of a leaf: SHA-256(0x00 ‖ data) (RFC 9162 §2.1.1).
#[must_use]
pub fn hash_leaf(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(data)
        .finalize()
        .into()
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 9162 §2.1.1).
#[must_use]
pub fn hash_children(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The right edge of a growing tree: one hash per set bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    edge: Vec<Hash>,
}

impl Tree {
    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Adds a full subtree of `2^level` leaves; the size so far must be a multiple of that.
    pub fn push_subtree(&mut self, mut hash: Hash, level: u32) {
        debug_assert!(
            self.size.is_multiple_of(1 << level),
            "a subtree joins at its own boundary"
        );
        let mut size = self.size >> level;
        while size & 1 == 1 {
            let Some(left) = self.edge.pop() else { break };
            hash = hash_children(&left, &hash);
            size >>= 1;
        }
        self.edge.push(hash);
        self.size += 1 << level;
    }

    /// The root; of no leaves, SHA-256 of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut hashes = self.edge.iter().rev();
        let Some(last) = hashes.next() else {
            return Sha256::digest([]).into();
        };
        hashes.fold(*last, |right, left| hash_children(left, &right))
    }
}

/// The root of the tree over `leaves`.
#[must_use]
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(*leaf);
    }
    tree.root()
}

/// Largest power of two smaller than `size`.
fn split(size: u64) -> u64 {
    size.next_power_of_two() / 2
}

/// The root over leaves `range`, from the roots of full subtrees of `2^level` leaves and, where the
/// range is no larger than one of those, from `within`. `range` is one that RFC 9162 §2.1 splits to:
/// it begins at a multiple of the power of two that is its size or the next one above.
///
/// # Errors
///
/// What `subtree` or `within` gives.
pub fn root_over<E>(
    range: Range<u64>,
    level: u32,
    subtree: &mut impl FnMut(u64) -> Result<Hash, E>,
    within: &mut impl FnMut(Range<u64>) -> Result<Hash, E>,
) -> Result<Hash, E> {
    let width = 1 << level;
    let mut tree = Tree::default();
    let mut at = range.start;
    if at.is_multiple_of(width) {
        while at + width <= range.end {
            tree.push_subtree(subtree(at / width)?, level);
            at += width;
        }
    }
    if at == range.end && at != range.start {
        return Ok(tree.root());
    }
    let rest = within(at..range.end)?;
    let hashes = tree.edge.iter().rev();
    Ok(hashes.fold(rest, |right, left| hash_children(left, &right)))
}

/// The inclusion proof of leaf `index` of `size` (RFC 9162 §2.1.3.1); `None` when there is no such
/// leaf. `root_of` gives the root over a range of leaves.
///
/// # Errors
///
/// What `root_of` gives.
pub fn inclusion_proof<E>(
    size: u64,
    index: u64,
    mut root_of: impl FnMut(Range<u64>) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if index >= size {
        return Ok(None);
    }
    let (mut proof, mut part) = (Vec::new(), 0..size);
    while part.end - part.start > 1 {
        let middle = part.start + split(part.end - part.start);
        if index < middle {
            proof.push(root_of(middle..part.end)?);
            part.end = middle;
        } else {
            proof.push(root_of(part.start..middle)?);
            part.start = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The consistency proof from the first `old` leaves to all `size` (RFC 9162 §2.1.4.1); `None` when
/// `old` is none or more than there are. `root_of` gives the root over a range of leaves.
///
/// # Errors
///
/// What `root_of` gives.
pub fn consistency_proof<E>(
    size: u64,
    old: u64,
    mut root_of: impl FnMut(Range<u64>) -> Result<Hash, E>,
) -> Result<Option<Vec<Hash>>, E> {
    if old == 0 || old > size {
        return Ok(None);
    }
    let (mut proof, mut part) = (Vec::new(), 0..size);
    while old != part.end {
        let middle = part.start + split(part.end - part.start);
        if old <= middle {
            proof.push(root_of(middle..part.end)?);
            part.end = middle;
        } else {
            proof.push(root_of(part.start..middle)?);
            part.start = middle;
        }
    }
    if part.start > 0 {
        proof.push(root_of(part)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Checks an inclusion proof (RFC 9162 §2.1.3.2).
#[must_use]
pub fn check_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = hash_children(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = hash_children(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Checks a consistency proof (RFC 9162 §2.1.4.2).
#[must_use]
pub fn check_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 || old > new {
        return false;
    }
    let mut hashes = proof.iter();
    let first = if old.is_power_of_two() {
        Some(old_root)
    } else {
        hashes.next()
    };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = hash_children(sibling, &old_hash);
            new_hash = hash_children(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = hash_children(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

#[cfg(test)]
mod tests {
    use super::{
        Hash, check_consistency, check_inclusion, consistency_proof, hash_leaf, inclusion_proof,
        root_of, root_over,
    };
    use proptest::prelude::*;
    use std::convert::Infallible;
    use std::ops::Range;

    /// The root over a range, from subtrees of four leaves as a ledger has them of 256.
    fn over(leaves: &[Hash], range: Range<u64>) -> Result<Hash, Infallible> {
        let place = |number: u64| usize::try_from(number).expect("few leaves");
        let part = |range: Range<u64>| {
            Ok::<_, Infallible>(root_of(&leaves[place(range.start)..place(range.end)]))
        };
        let from_subtrees = root_over(
            range.clone(),
            2,
            &mut |number| part(number * 4..number * 4 + 4),
            &mut |range| {
                assert!(range.end - range.start < 4, "{range:?} has a subtree");
                part(range)
            },
        )?;
        assert_eq!(from_subtrees, part(range)?);
        Ok(from_subtrees)
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count)
            .map(|index| hash_leaf(&index.to_be_bytes()))
            .collect()
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn agrees_with_the_vectors_of_certificate_transparency() {
        // The eight leaves and roots published with RFC 6962's reference implementation.
        let data: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves: Vec<Hash> = data.iter().map(|data| hash_leaf(data)).collect();
        assert_eq!(
            hex(root_of(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hex(root_of(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(root_of(&leaves[..8])),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_leaf_is_proven_and_no_other(size in 1_usize..70, index in 0_usize..70) {
            let leaves = leaves(size);
            let index = index % size;
            let (at, of) = (index as u64, size as u64);
            let Ok(proof) = inclusion_proof(of, at, |range| over(&leaves, range));
            let proof = proof.expect("the leaf is there");
            let root = root_of(&leaves);
            prop_assert!(check_inclusion(&leaves[index], at, of, &proof, &root));
            prop_assert!(!check_inclusion(&hash_leaf(b"other"), at, of, &proof, &root));
        }

        #[test]
        fn growth_is_proven_and_change_is_not(old in 1_usize..60, more in 0_usize..60) {
            let leaves = leaves(old + more);
            let (from, to) = (old as u64, (old + more) as u64);
            let Ok(proof) = consistency_proof(to, from, |range| over(&leaves, range));
            let proof = proof.expect("old is at least one");
            let (old_root, new_root) = (root_of(&leaves[..old]), root_of(&leaves));
            prop_assert!(check_consistency(from, to, &proof, &old_root, &new_root));
            if more > 0 {
                prop_assert!(!check_consistency(from, to, &proof, &hash_leaf(b"x"), &new_root));
            }
        }
    }
}
