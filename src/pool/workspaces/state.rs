//! What one caller knows of each workspace, one of five words, 27 of them in 8 bytes: of 100,000 workspaces in 30 KB. And
//! which version of a list of children it has read.

use std::collections::HashMap;

/// What a caller knows of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It was not asked.
    Unknown = 0,
    /// Its children were read.
    Listed = 1,
    /// It may be entered; its children may not be read.
    Closed = 2,
    /// It may not be entered, or is not there.
    Refused = 3,
    /// It may be entered; its children were not asked for.
    Entered = 4,
}

/// Words that there are.
const WORDS: u64 = 5;
/// Words in one number: 5^27 is less than 2^64.
const IN_ONE: u32 = 27;

/// The words of all workspaces, by their number in the arena.
#[derive(Debug, Default)]
pub(super) struct States {
    /// Digits of base [`WORDS`].
    words: Vec<u64>,
    /// Versions that are not the first: few, because a list seldom changes within the life of an arena.
    versions: HashMap<u32, u16>,
}

impl States {
    pub(super) fn word(&self, id: u32) -> Word {
        let number = self.words.get((id / IN_ONE) as usize).copied().unwrap_or_default();
        match number / WORDS.pow(id % IN_ONE) % WORDS {
            0 => Word::Unknown,
            1 => Word::Listed,
            2 => Word::Closed,
            3 => Word::Refused,
            _ => Word::Entered,
        }
    }

    pub(super) fn version(&self, id: u32) -> u16 {
        self.versions.get(&id).copied().unwrap_or_default()
    }

    /// Sets what is not known better.
    pub(super) fn learn(&mut self, id: u32, word: Word) {
        if matches!(self.word(id), Word::Unknown | Word::Entered) {
            self.set(id, word, 0);
        }
    }

    pub(super) fn set(&mut self, id: u32, word: Word, version: u16) {
        let (at, place) = ((id / IN_ONE) as usize, WORDS.pow(id % IN_ONE));
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        if let Some(number) = self.words.get_mut(at) {
            *number = *number - *number / place % WORDS * place + word as u64 * place;
        }
        match version {
            0 => self.versions.remove(&id),
            version => self.versions.insert(id, version),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::{States, Word};

    #[test]
    fn neighbours_keep_their_words() {
        let mut states = States::default();
        let words = [Word::Listed, Word::Closed, Word::Refused, Word::Unknown, Word::Listed];
        for (id, word) in (7..).zip(words) {
            states.set(id, word, 0);
        }
        states.set(8, Word::Listed, 3);
        let read: Vec<Word> = (6..13).map(|id| states.word(id)).collect();
        let expected =
            [Word::Unknown, Word::Listed, Word::Listed, Word::Refused, Word::Unknown, Word::Listed, Word::Unknown];
        assert_eq!(read, expected);
        assert_eq!((states.version(7), states.version(8)), (0, 3));
        states.set(8, Word::Refused, 0);
        assert_eq!((states.word(8), states.version(8)), (Word::Refused, 0));
    }

    #[test]
    fn a_full_number_holds_the_largest_words() {
        let mut states = States::default();
        (0..54).for_each(|id| states.set(id, Word::Entered, 0));
        assert!((0..54).all(|id| states.word(id) == Word::Entered) && states.word(54) == Word::Unknown);
        states.set(26, Word::Unknown, 0);
        assert_eq!([25, 26, 27].map(|id| states.word(id)), [Word::Entered, Word::Unknown, Word::Entered]);
        assert_eq!(states.words.len(), 2);
    }
}
