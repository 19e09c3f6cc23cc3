//! What callers read: tables, objects and text, masked, neutralised and inside a budget of bytes.
//!
//! [`render`] is the only way from a tool's [`Output`] to an [`Answer`]; errors go through [`scrub_text`].

use serde_json::Value;

use crate::model::{Failure, Table, names};

mod json;
mod mask;
mod neutral;
mod page;
mod seal;
mod sheet;
mod table;
mod yaml;

#[cfg(test)]
mod tests;

pub use mask::{MARKER, has_marker};
pub use neutral::neutralise;
pub use page::{Budget, DEFAULT_OBJECTS, DEFAULT_ROWS, MAX_LIMIT, Page};
pub use seal::{Bound, HANDLE_LIFETIME, MAX_HANDLE, Seal, SealError};

use sheet::{Frame, Sheet, cut_text};

/// What a tool found.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The answer itself.
    pub body: Body,
    /// One-liners in front of it: a shared identity, a defaulted target.
    pub notes: Vec<String>,
    /// What to call next.
    pub next: Vec<String>,
    /// The same for programs; left out when it is larger than any answer may be.
    pub structured: Option<Value>,
}

impl Output {
    /// An output of `body` alone.
    pub fn new(body: Body) -> Self {
        Self { body, notes: Vec::new(), next: Vec::new(), structured: None }
    }

    /// Adds a one-liner in front.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// The forms of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// Rows.
    Table(Listing<Table>),
    /// A page of whole objects: a Kubernetes List.
    Objects {
        /// The List object.
        list: Listing<Value>,
        /// Kind of its items, which often carry none themselves.
        kind: String,
    },
    /// One object. It may take the ceiling of the budget: there is no narrower question.
    Object(Value),
    /// Text.
    Text(String),
    /// Text whose size the caller chose, as lines of a log: it may take the ceiling of the budget.
    Lines(String),
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// What it lists, in the plural, as "pods".
    pub resource: String,
    /// The content.
    pub content: T,
    /// Which page it is.
    pub page: Page,
    /// The arguments that would narrow it, as "namespace or labelSelector".
    pub narrow: &'static str,
}

/// How the caller wants to see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presentation {
    /// The format.
    pub format: Format,
    /// Columns by name, any case; empty = the usual ones.
    pub columns: Vec<String>,
    /// Room for the whole answer.
    pub budget: Budget,
}

/// Formats of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Tables with the columns that matter; single objects as YAML.
    #[default]
    Table,
    /// Tables with all columns; single objects as YAML.
    Wide,
    /// Compact JSON of whole objects.
    Json,
    /// YAML of whole objects.
    Yaml,
}

impl Format {
    /// All formats, by their words.
    pub const WORDS: [(&'static str, Self); 4] =
        [("table", Self::Table), ("wide", Self::Wide), ("json", Self::Json), ("yaml", Self::Yaml)];

    /// Reads a word.
    ///
    /// # Errors
    /// When it is none of [`Format::WORDS`].
    pub fn parse(word: &str) -> Result<Self, Failure> {
        let found = Self::WORDS.iter().find(|(known, _)| *known == word);
        found.map(|(_, format)| *format).ok_or_else(|| {
            Failure::arguments(format!("there is no format {}", names::quote(word)))
                .hint("Formats are table, wide, json, yaml")
        })
    }

    /// True for the formats that show whole objects, so that a tool asks for them.
    pub fn wants_objects(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// What a caller reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The same for programs.
    pub structured: Option<Value>,
}

/// Renders an output. `next_page` seals a continue handle for where the next answer starts; `None` = it cannot be
/// continued, and the answer says how to narrow the question.
///
/// # Errors
/// When a column that was asked for does not exist.
pub fn render(
    output: Output,
    presentation: &Presentation,
    next_page: impl FnOnce(&Page) -> Option<String>,
) -> Result<Answer, Failure> {
    let head: String = output.notes.iter().map(|note| comment("", note)).collect();
    let tail: String = output.next.iter().map(|next| comment("next: ", next)).collect();
    let around = head.len() + tail.len();
    let room = |budget: usize| budget.saturating_sub(around);
    let text = room(presentation.budget.text);
    let body = match output.body {
        Body::Table(list) => sheet_of_table(&list, presentation, next_page, around)?,
        Body::Objects { list, kind } => {
            if !presentation.columns.is_empty() {
                return Err(Failure::arguments("columns are for the formats table and wide"));
            }
            objects(list, &kind, presentation, text, next_page)?
        }
        Body::Object(mut value) => {
            mask::document(&mut value, None);
            cut_text(document(&value, presentation.format)?, room(Budget::CEILING.text))
        }
        Body::Text(found) => cut_text(mask::text(&found).into_owned(), text),
        Body::Lines(found) => cut_text(mask::text(&found).into_owned(), room(Budget::CEILING.text)),
    };
    let body = if body.ends_with('\n') || tail.is_empty() { body } else { body + "\n" };
    let structured = output.structured.map(|mut value| {
        mask::document(&mut value, None);
        value
    });
    let structured = structured.filter(|value| value.to_string().len() <= Budget::CEILING.text);
    Ok(Answer { text: format!("{head}{body}{tail}").trim_end_matches('\n').to_owned(), structured })
}

/// Foreign or composed text for an error, a log shown to a caller or a plan: neutralised, credentials masked.
pub fn scrub_text(text: &str) -> String {
    mask::text(text).into_owned()
}

/// An object as YAML of at most `room` bytes, cleaned as [`render`] would: a part of a composed answer.
///
/// # Errors
/// Internal, when the serializer refuses the value.
pub fn part(mut value: Value, room: usize) -> Result<String, Failure> {
    mask::document(&mut value, None);
    Ok(cut_text(yaml::object(&value)?, room))
}

/// Cleans one object as [`render`] would: Secret values and credentials masked, server noise removed.
pub fn scrub_object(value: &mut Value) {
    mask::document(value, None);
}

fn comment(word: &str, text: &str) -> String {
    format!("# {word}{}\n", neutral::cell(&mask::text(text)))
}

fn document(value: &Value, format: Format) -> Result<String, Failure> {
    match format {
        Format::Json => Ok(json::object(value)),
        Format::Table | Format::Wide | Format::Yaml => yaml::object(value),
    }
}

fn sheet_of_table(
    list: &Listing<Table>,
    presentation: &Presentation,
    next_page: impl FnOnce(&Page) -> Option<String>,
    around: usize,
) -> Result<String, Failure> {
    let table = &list.content;
    let shown = table::Shown::pick(table, presentation)?;
    let budget = presentation.budget;
    let header = shown.header();
    let (budget, header, frame, items) = match presentation.format {
        Format::Table | Format::Wide => {
            let frame = Frame { before: "\n", between: "\n", after: "" };
            (budget.table, header, frame, shown.lines(list.page.offset).collect())
        }
        format @ (Format::Json | Format::Yaml) => {
            let items = shown.objects(list.page.offset);
            (budget.text, String::new(), frame_of(format), documents(&items, format)?)
        }
    };
    let sheet = Sheet {
        resource: &list.resource,
        narrow: list.narrow,
        page: &list.page,
        rows: table.rows.len(),
        token: table.continue_token.clone(),
        remaining: table.remaining,
        frame,
        items,
    };
    Ok(sheet.print(&header, budget.saturating_sub(around), next_page))
}

fn objects(
    list: Listing<Value>,
    kind: &str,
    presentation: &Presentation,
    budget: usize,
    next_page: impl FnOnce(&Page) -> Option<String>,
) -> Result<String, Failure> {
    let Listing { resource, mut content, page, narrow } = list;
    let metadata = content.get("metadata").cloned().unwrap_or_default();
    mask::document(&mut content, Some(kind));
    let items = content.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let format = if presentation.format == Format::Json { Format::Json } else { Format::Yaml };
    let token = metadata.get("continue").and_then(Value::as_str).filter(|token| !token.is_empty());
    let sheet = Sheet {
        resource: &resource,
        narrow,
        page: &page,
        rows: items.len(),
        token: token.map(Into::into),
        remaining: metadata.get("remainingItemCount").and_then(Value::as_u64),
        frame: frame_of(format),
        items: documents(items.get(page.offset..).unwrap_or_default(), format)?,
    };
    Ok(sheet.print("", budget, next_page))
}

fn frame_of(format: Format) -> Frame {
    if format == Format::Json { json::LIST } else { yaml::LIST }
}

fn documents(items: &[Value], format: Format) -> Result<Vec<String>, Failure> {
    items.iter().map(|item| document(item, format)).collect()
}
