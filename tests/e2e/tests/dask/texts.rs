//! The texts whose words are counted, and what must come out: reckoned here, by other means than the cluster's.

use std::{collections::BTreeMap, fs, path::Path};

use fastrand::Rng;
use serde_json::Value;

/// How many files there are: as many tasks begin a round.
const FILES: usize = 48;
/// How many words a file has: some hundredths of a second's work for Python.
const WORDS: usize = 60_000;
/// How many words there are to choose from.
const VOCABULARY: usize = 400;
/// The longest word, and more letters than any round looks at.
const LONGEST: usize = 9;

/// How often words begin with the same letters, for each number of letters.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    counts: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Texts {
    /// Writes the texts into a folder: the same ones each time.
    pub(crate) fn write(folder: &Path) -> Self {
        fs::create_dir(folder).expect("a new folder");
        let mut dice = Rng::with_seed(6);
        let vocabulary: Vec<String> = (0..VOCABULARY)
            .map(|_| (0..dice.usize(1..=LONGEST)).map(|_| dice.char('a'..='h')).collect())
            .collect();
        let mut texts = Self::default();
        for file in 0..FILES {
            let mut uses = vec![0_u64; VOCABULARY];
            let mut text = String::new();
            for _ in 0..WORDS {
                // The lower of two: some words are used more often than others, as in any language.
                let word = dice.usize(0..VOCABULARY).min(dice.usize(0..VOCABULARY));
                uses[word] += 1;
                text.push_str(&vocabulary[word]);
                text.push(' ');
            }
            fs::write(folder.join(format!("{file:02}.txt")), text).expect("a new file");
            for (word, uses) in vocabulary.iter().zip(uses) {
                for letters in 1..=5 {
                    let beginning: String = word.chars().take(letters).collect();
                    let counts = texts.counts.entry(letters as u64).or_default();
                    *counts.entry(beginning).or_default() += uses;
                }
            }
        }
        texts
    }
}

/// Fails unless each round has found what is to be found.
#[track_caller]
pub(crate) fn assert_right(rounds: &[Value], texts: &Texts) {
    for (number, round) in rounds.iter().enumerate() {
        assert_eq!(round["round"], number, "no round is left out");
        let letters = round["letters"].as_u64().expect("a number of letters");
        let counted: BTreeMap<String, u64> =
            serde_json::from_value(round["counts"].clone()).expect("counts by words");
        // A word that no file has is in no count.
        let wanted = texts.counts[&letters].iter().filter(|(_, uses)| **uses > 0);
        assert!(counted.iter().eq(wanted), "round {number} with {letters} letters: {counted:?}");
    }
    assert!(!rounds.is_empty(), "nothing was counted");
}
