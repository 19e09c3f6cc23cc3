//! Which part of a list a call shows, and how much room it has.

use std::ops::Range;

/// Rows per page unless the caller asks: about what fits the budget of a narrow table.
pub const DEFAULT_ROWS: u32 = 100;
/// Objects per page unless the caller asks, for `json` and `yaml`.
pub const DEFAULT_OBJECTS: u32 = 20;
/// Rows or objects per page, at most.
pub const MAX_LIMIT: u32 = 500;

/// The part of a list that a call asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Rows per page.
    pub limit: u32,
    /// The API server's continue token that leads to this page; `None` = the first.
    pub token: Option<String>,
    /// Rows of this page that were shown already: an answer may end in the middle of a page.
    pub offset: usize,
    /// Rows of the pages before this one.
    pub before: u64,
    /// What the answers before this one made of this page.
    pub form: Form,
}

/// What an answer is to make of a page of a list. Once a part of the page was shown, the rest comes in the API server's
/// order: what needs a look may be another set by then, and a row that moves across the offset would be lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// Nothing of the page was shown: what needs a look comes first, and a long page may come in groups.
    #[default]
    Fresh,
    /// The rest comes as rows.
    Rows,
    /// The rest comes in groups: the offset counts the objects of the groups before it.
    Groups,
}

/// How a list goes on whose tool knows a place behind each row that stays where it is, whatever comes and goes before it.
/// Pages of such a list have no offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resume {
    /// For each row of the page the token of what comes behind it. `None` = a row of an earlier page that is told again: it
    /// counts towards nothing.
    pub tokens: Vec<Option<String>>,
    /// True when the end of the list is not known: it gives no total.
    pub partial: bool,
}

impl Resume {
    /// Whether the row at `at` counts.
    pub(super) fn counts(&self, at: usize) -> bool {
        self.tokens.get(at).is_none_or(Option::is_some)
    }

    /// The token behind the first `shown` rows.
    pub(super) fn behind(&self, shown: usize) -> Option<&String> {
        self.tokens.iter().take(shown).rev().find_map(Option::as_ref)
    }
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The rows that an answer may show, and one more, which tells whether there are others. A server may send more rows
    /// than were asked for.
    pub(super) fn window(&self) -> Range<usize> {
        self.offset
            ..self.offset.saturating_add(usize::try_from(self.limit).unwrap_or(usize::MAX).max(1)).saturating_add(1)
    }
}

/// Bytes that one answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// For tables.
    pub table: usize,
    /// For JSON, YAML and text.
    pub text: usize,
}

impl Budget {
    /// What an answer gets unasked: about 4,000 tokens.
    pub const DEFAULT: Self = Self { table: 7_000, text: 11_000 };
    /// What an answer gets at most, when the caller asks for more: about 10,000 tokens.
    pub const CEILING: Self = Self { table: 17_500, text: 27_500 };
}

impl Default for Budget {
    fn default() -> Self {
        Self::DEFAULT
    }
}
