//! Two bits per workspace of what one caller knows, and which version of a list of children it has read.

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
}

/// The words of all workspaces, by their number in the arena.
#[derive(Debug, Default)]
pub(super) struct States {
    words: Vec<u8>,
    /// Versions that are not the first: few, because a list seldom changes within the life of an arena.
    versions: HashMap<u32, u16>,
}

impl States {
    pub(super) fn word(&self, id: u32) -> Word {
        let byte = self.words.get(id as usize / 4).copied().unwrap_or_default();
        match byte >> (id % 4 * 2) & 3 {
            0 => Word::Unknown,
            1 => Word::Listed,
            2 => Word::Closed,
            _ => Word::Refused,
        }
    }

    pub(super) fn version(&self, id: u32) -> u16 {
        self.versions.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, id: u32, word: Word, version: u16) {
        let at = id as usize / 4;
        if self.words.len() <= at {
            self.words.resize(at + 1, 0);
        }
        let shift = id % 4 * 2;
        if let Some(byte) = self.words.get_mut(at) {
            *byte = *byte & !(3 << shift) | (word as u8) << shift;
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
}
