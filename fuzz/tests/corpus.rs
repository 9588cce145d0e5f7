//! The bodies over the repository's corpus, bent at random: a minute's worth on any compiler.

use std::fs;
use std::path::{Path, PathBuf};

const ROUNDS: usize = 20_000;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn bent_seeds_break_no_promise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut seeds = Vec::new();
    for folder in ["corpus", "content"] {
        files(&root.join(folder), &mut seeds);
    }
    seeds.sort();
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|path| fs::read(path).expect("read")).collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below.max(1)
    };
    for (name, body) in bodies::BODIES {
        // What is like nothing in the repository has seeds of its own.
        let mut own = Vec::new();
        let folder = root.join("fuzz/seeds").join(name);
        if folder.exists() {
            files(&folder, &mut own);
        }
        own.sort();
        let own: Vec<Vec<u8>> = own.iter().map(|path| fs::read(path).expect("read")).collect();
        for _ in 0..ROUNDS {
            let from = if own.is_empty() || next(4) == 0 { &seeds } else { &own };
            let seed = &from[next(from.len())];
            let from = next(seed.len());
            let mut bytes = seed[from..seed.len().min(from + 1 + next(4000))].to_vec();
            for _ in 0..next(8) {
                let at = next(bytes.len());
                match next(4) {
                    0 => bytes[at] = next(256) as u8,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.insert(at, b"\0'\"\\%<\n\xff4&>/"[next(12)]),
                    _ => bytes.truncate(at + 1),
                }
                if bytes.is_empty() {
                    bytes.push(0);
                }
            }
            body(&bytes);
        }
    }
}
