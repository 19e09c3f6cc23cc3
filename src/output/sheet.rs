//! A page of a list inside its room: what fits, what was left out, and how to see the rest.

use super::neutral;
use super::page::{Budget, Form, Page, Resume};
use super::seal::MAX_HANDLE;

/// Room that the line about what was left out may take, beside its handle and the resource's name.
const FOOTER: usize = 240;

/// Lines around the items of a list.
pub(super) struct Frame {
    pub(super) before: &'static str,
    pub(super) between: &'static str,
    pub(super) after: &'static str,
}

/// The items of a page after it was cut to its room.
struct Fitted {
    text: String,
    /// How many items.
    shown: usize,
    /// How many rows these stand for.
    rows: usize,
}

/// A page of a list on its way to text.
pub(super) struct Sheet<'a> {
    pub(super) resource: &'a str,
    pub(super) narrow: &'a str,
    pub(super) page: &'a Page,
    /// Items of this page, also those shown already.
    pub(super) rows: usize,
    /// Where the API server's next page starts.
    pub(super) token: Option<String>,
    /// Objects after this page, if known.
    pub(super) remaining: Option<u64>,
    pub(super) frame: Frame,
    /// The items from the page's offset: as many as may be shown, and one more.
    pub(super) items: Vec<Item>,
    /// Of these items and all behind them: how many rows of the page stand before each, in the API server's order.
    pub(super) starts: Vec<usize>,
    /// The form of this page.
    pub(super) form: Form,
    /// How it goes on behind any of the items, where that is known.
    pub(super) resume: Option<&'a Resume>,
}

/// One line or document of a list.
pub(super) struct Item {
    pub(super) text: String,
    /// Rows of the list that it stands for; none for one that is told again.
    pub(super) rows: usize,
}

impl Sheet<'_> {
    /// The text of this page inside `budget` bytes.
    pub(super) fn print(self, header: &str, budget: usize, next_page: impl FnOnce(&Page) -> Option<String>) -> String {
        let resource = neutral::cell(self.resource);
        if self.items.is_empty() && self.token.is_none() {
            let more = if self.page.before + self.page.offset as u64 > 0 { " more" } else { "" };
            return format!("no{more} {resource}");
        }
        let limit = usize::try_from(self.page.limit).unwrap_or(usize::MAX);
        let ending = self.ending(&resource);
        let whole = self.fit(header, budget.saturating_sub(ending.len()), limit);
        if whole.shown == self.items.len() && self.token.is_none() {
            return whole.text + &ending;
        }
        let fitted = self.fit(header, budget.saturating_sub(FOOTER + resource.len() + MAX_HANDLE), limit);
        let handle = next_page(&self.next(&fitted));
        let footer = self.footer(fitted.rows, &resource, handle.as_deref());
        let line_end = if fitted.text.ends_with('\n') { "" } else { "\n" };
        format!("{}{line_end}{footer}", fitted.text)
    }

    /// As many items as fit, but at least one that counts, cut to the ceiling.
    fn fit(&self, header: &str, room: usize, limit: usize) -> Fitted {
        let mut text = format!("{header}{}", self.frame.before);
        let (mut shown, mut rows, mut counted) = (0, 0, 0);
        for Item { text: item, rows: stands_for } in &self.items {
            let between = if shown == 0 { "" } else { self.frame.between };
            let needed = text.len() + between.len() + item.len() + self.frame.after.len();
            if counted >= limit.max(1) || (needed > room && counted > 0) {
                break;
            }
            text.push_str(between);
            if needed > room && needed > Budget::CEILING.text {
                text.push_str(&cut_text(item.clone(), Budget::CEILING.text));
            } else {
                text.push_str(item);
            }
            shown += 1;
            rows += stands_for;
            counted += usize::from(*stands_for > 0);
        }
        text.push_str(self.frame.after);
        Fitted { text, shown, rows }
    }

    /// Where the next answer starts after `shown` items: at the first row that was not shown, in the API server's order. A
    /// row behind it that was shown ahead of its place is shown once more there.
    fn next(&self, fitted: &Fitted) -> Page {
        let page = self.page;
        if let Some(resume) = self.resume {
            let cut = fitted.shown < self.items.len();
            let behind = if cut { resume.behind(fitted.shown).or(page.token.as_ref()) } else { self.token.as_ref() };
            let before = page.before + fitted.rows as u64;
            return Page { limit: page.limit, token: behind.cloned(), offset: 0, before, form: Form::Fresh };
        }
        let offset = self.starts.iter().skip(fitted.shown).min().copied().unwrap_or(self.rows);
        match &self.token {
            Some(token) if offset >= self.rows => {
                let before = page.before + self.rows as u64;
                Page { limit: page.limit, token: Some(token.clone()), offset: 0, before, form: Form::Fresh }
            }
            Some(_) | None => Page { offset, form: self.form, ..page.clone() },
        }
    }

    fn footer(&self, shown: usize, resource: &str, handle: Option<&str>) -> String {
        let skipped = self.page.before + self.page.offset as u64;
        let last = skipped + shown as u64;
        let range = if skipped == 0 || shown == 0 { format!("{shown}") } else { format!("{}-{last}", skipped + 1) };
        let known = self.remaining.or_else(|| self.token.is_none().then_some(0));
        let total = self.page.before + self.rows as u64 + known.unwrap_or(0);
        let total = if known.is_some() && !self.is_partial() { format!(" of {total}") } else { more_than(total) };
        let narrow = if self.narrow.is_empty() { "the question" } else { self.narrow };
        let how = match handle {
            Some(handle) => format!("narrow with {narrow}, or repeat the call with continue={handle}"),
            None => format!("this list cannot be continued: narrow with {narrow}"),
        };
        format!("# {range}{total} {resource} shown; {how}\n")
    }

    /// The line under the last page of several; empty for a list of one page.
    fn ending(&self, resource: &str) -> String {
        let skipped = self.page.before + self.page.offset as u64;
        if skipped == 0 {
            return String::new();
        }
        let last = self.page.before + self.rows as u64;
        let total = if self.is_partial() { more_than(last) } else { format!(" of {last}") };
        let range = if last > skipped { format!("{}-{last}", skipped + 1) } else { "0".to_owned() };
        format!("\n# {range}{total} {resource} shown: the end\n")
    }

    /// True when its last row is not the last of all.
    fn is_partial(&self) -> bool {
        self.resume.is_some_and(|resume| resume.partial)
    }
}

fn more_than(total: u64) -> String {
    format!(" of more than {total}")
}

/// `text` cut to `room` bytes at a line end, with a line that says so.
pub(super) fn cut_text(text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let mut at = room.saturating_sub(80).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text.get(..at).unwrap_or_default();
    let whole_lines =
        start.rfind('\n').filter(|end| *end > at / 2).map_or(start, |end| start.get(..end).unwrap_or(start));
    format!("{whole_lines}\n# cut: the first {} of {} bytes shown\n", whole_lines.len(), text.len())
}
