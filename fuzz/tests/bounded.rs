//! Runs each target for a bounded number of inputs: its corpus, and random changes of it. The seed
//! is fixed, so a failure can be reproduced; `FUZZ_RUNS` and `FUZZ_SEED` set other numbers of
//! inputs and other seeds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::{env, fs};

use fastrand::Rng;

const SEED: u64 = 1;
/// Bytes with a meaning in the inputs.
const LIKELY: &[u8] = b"\"\\[]{},:0-1 .eE\n\t\rtfnu/\x00\x7f\x80\xff";
/// Limit for the number of choices; a pod takes about this many.
const MOST_CHOICES: usize = 4096;

/// Meaning of a target's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inputs {
    /// A text.
    Texts,
    /// Choices from which a structured input is made.
    Choices,
    /// A text after an even byte, choices after an odd one.
    Both,
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// Returns the corpus of a target, sorted by name.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Makes one to eight changes: sets, removes or inserts a byte, repeats or cuts a part, or joins
/// another input.
fn mutate(random: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..random.usize(1..=8) {
        let place = random.usize(..=bytes.len());
        let end = random.usize(place..=bytes.len().min(place + 64));
        let byte = if random.bool() { LIKELY[random.usize(..LIKELY.len())] } else { random.u8(..) };
        match random.u8(..6) {
            0 if place < bytes.len() => bytes[place] = byte,
            1 => drop(bytes.drain(place..end)),
            2 => bytes.insert(place, byte),
            3 => {
                let part = bytes[place..end].to_vec();
                bytes.splice(place..place, part);
            }
            4 => bytes.truncate(place),
            _ => {
                let other = &corpus[random.usize(..corpus.len())];
                let from = random.usize(..=other.len());
                bytes.truncate(place);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Returns random choices.
fn choices(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(..MOST_CHOICES);
    std::iter::once(random.u8(..) | 1).chain((0..length).map(|_| random.u8(..))).collect()
}

/// Runs a target; `runs` inputs take a few seconds in a debug build.
fn run(target: &str, runs: u64, inputs: Inputs, check: fn(&[u8])) {
    let corpus = corpus(target);
    for input in &corpus {
        check(input);
    }
    let mut random = Rng::with_seed(number("FUZZ_SEED", SEED));
    for _ in 0..number("FUZZ_RUNS", runs) {
        let is_new = match inputs {
            Inputs::Texts => false,
            Inputs::Choices | Inputs::Both => random.bool(),
        };
        let input = if is_new {
            let mut choices = choices(&mut random);
            if inputs == Inputs::Choices {
                choices[0] = random.u8(..);
            }
            choices
        } else {
            mutate(&mut random, &corpus)
        };
        let caught = std::panic::catch_unwind(|| check(&input));
        assert!(caught.is_ok(), "{target}: {:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn json_reader() {
    run("json_reader", 5000, Inputs::Texts, prestop_fuzz::json_reader::target);
}

#[test]
fn admission() {
    run("admission", 3000, Inputs::Both, prestop_fuzz::admission::target);
}

#[test]
fn manifests() {
    run("manifests", 400, Inputs::Both, prestop_fuzz::manifests::target);
}

#[test]
fn configuration() {
    run("configuration", 2000, Inputs::Both, prestop_fuzz::configuration::target);
}

#[test]
fn annotations() {
    run("annotations", 5000, Inputs::Texts, prestop_fuzz::annotations::target);
}

#[test]
fn image_reference() {
    run("image_reference", 5000, Inputs::Texts, prestop_fuzz::image_reference::target);
}

#[test]
fn fronts() {
    run("fronts", 2000, Inputs::Choices, prestop_fuzz::fronts::target);
}

#[test]
fn audit() {
    run("audit", 300, Inputs::Choices, prestop_fuzz::audit::target);
}

#[test]
fn own_hook() {
    run("own_hook", 250, Inputs::Choices, prestop_fuzz::own_hook::target);
}
