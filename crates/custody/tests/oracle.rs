//! Roots and proofs against another implementation of the same RFC (crate `ct-merkle`).

use std::convert::Infallible;
use std::ops::Range;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use custody::{Hash, check_consistency, check_inclusion, hash_leaf};
use proptest::prelude::*;
use sha2::Sha256;

type Theirs = MemoryBackedTree<Sha256, Vec<u8>>;

fn data(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| number.to_be_bytes().repeat(1 + number % 3))
        .collect()
}

fn theirs(data: &[Vec<u8>]) -> Theirs {
    let mut tree = Theirs::new();
    for leaf in data {
        tree.push(leaf.clone());
    }
    tree
}

fn root(tree: &Theirs) -> Hash {
    tree.root()
        .as_bytes()
        .as_slice()
        .try_into()
        .expect("32 bytes")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn roots_and_proofs_are_the_same_bytes(old in 1_usize..400, more in 0_usize..400, index in 0_usize..800) {
        let size = old + more;
        let index = index % size;
        let data = data(size);
        let leaves: Vec<Hash> = data.iter().map(|leaf| hash_leaf(leaf)).collect();
        let over = |range: Range<u64>| {
            let place = |number: u64| usize::try_from(number).expect("few leaves");
            Ok::<_, Infallible>(custody::root_of(&leaves[place(range.start)..place(range.end)]))
        };
        let (whole, part) = (theirs(&data), theirs(&data[..old]));
        let (ours, earlier) = (custody::root_of(&leaves), custody::root_of(&leaves[..old]));
        prop_assert_eq!(root(&whole), ours);
        prop_assert_eq!(root(&part), earlier);

        let Ok(proof) = custody::inclusion_proof(size as u64, index as u64, over);
        let proof = proof.expect("the leaf is there");
        let told = whole.prove_inclusion(index);
        prop_assert_eq!(proof.concat(), told.as_bytes());
        prop_assert!(check_inclusion(&leaves[index], index as u64, size as u64, &proof, &ours));

        let Ok(proof) = custody::consistency_proof(size as u64, old as u64, over);
        let proof = proof.expect("old is at least one");
        if more > 0 {
            let told = whole.prove_consistency(more);
            prop_assert_eq!(proof.concat(), told.as_bytes());
        }
        prop_assert!(check_consistency(old as u64, size as u64, &proof, &earlier, &ours));
    }
}
