//! What callers read: tables, objects and text, masked, neutralised and inside a budget of bytes.
//!
//! [`render`] is the only way from a tool's [`Output`] to an [`Answer`]; errors go through [`scrub_text`].

use serde_json::Value;

use crate::model::{Failure, Table, names};

mod json;
mod mask;
mod neutral;
mod page;
mod path;
mod progress;
mod project;
mod seal;
mod sheet;
mod table;
mod yaml;

#[cfg(test)]
mod tests;

pub use mask::{MARKER, has_marker};
pub use neutral::neutralise;
pub use page::{Budget, DEFAULT_OBJECTS, DEFAULT_ROWS, Form, MAX_LIMIT, Page, Resume};
pub use progress::{PACE, Progress, Step, Steps};
pub use seal::{Bound, HANDLE_LIFETIME, MAX_HANDLE, Seal, SealError};

use sheet::{Frame, Item, Sheet, cut_text};

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
    /// How a list goes on behind any of its rows; without it, as the API server's pages do.
    pub resume: Option<Resume>,
}

impl Output {
    /// An output of `body` alone.
    pub fn new(body: Body) -> Self {
        Self { body, notes: Vec::new(), next: Vec::new(), structured: None, resume: None }
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
    /// Rows of which some come first.
    Sorted {
        /// The rows in the API server's order.
        list: Listing<Table>,
        /// Whether each row comes first.
        first: Vec<bool>,
    },
    /// Rows that stand for several objects each.
    Groups {
        /// One row per group, in the API server's order of their first objects; the table's continue token and remaining
        /// count are those of the objects.
        list: Listing<Table>,
        /// How many objects each row stands for.
        sizes: Vec<usize>,
        /// Whether each row comes first.
        first: Vec<bool>,
    },
    /// A page of whole objects: a Kubernetes List.
    Objects {
        /// The List object.
        list: Listing<Value>,
        /// Kind of its items, which often carry none themselves.
        kind: String,
    },
    /// One object. It may take the ceiling of the budget: there is no narrower question.
    Object(Value),
    /// One object of which a caller may ask for some fields. One that is larger than the ceiling comes with a map of its
    /// largest fields.
    Fields {
        /// The whole object.
        object: Value,
        /// Paths, as `spec.containers[*].image`; none = all of it.
        fields: Vec<String>,
    },
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
    /// True when the caller left the form of a list to us: a long one may come in groups.
    pub free: bool,
}

impl Presentation {
    /// True when whole objects must be read: for the formats that show them, and for columns with a path of their own.
    pub fn wants_objects(&self) -> bool {
        self.format.wants_objects() || self.columns.iter().any(|column| project::is_own(column))
    }

    /// Checks columns with a path of their own before the list is read.
    ///
    /// # Errors
    /// When a path is none, or another column stands beside one and cannot.
    pub fn check(&self) -> Result<(), Failure> {
        let projects = self.wants_objects() && !self.format.wants_objects();
        if projects { project::columns(&self.columns).map(drop) } else { Ok(()) }
    }
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
    let resume = output.resume.as_ref();
    let body = match output.body {
        Body::Table(list) => {
            sheet_of_table(&list, &Stand { resume, ..Stand::default() }, presentation, next_page, around)?
        }
        Body::Sorted { list, first } => {
            let stand = Stand { first: &first, ..Stand::default() };
            sheet_of_table(&list, &stand, presentation, next_page, around)?
        }
        Body::Groups { list, sizes, first } => {
            let stand = Stand { sizes: Some(&sizes), first: &first, resume: None };
            sheet_of_table(&list, &stand, presentation, next_page, around)?
        }
        Body::Objects { list, kind } if !presentation.format.wants_objects() => {
            let list = projected(list, &kind, &presentation.columns)?;
            let whole = Presentation { columns: Vec::new(), ..presentation.clone() };
            sheet_of_table(&list, &Stand { resume, ..Stand::default() }, &whole, next_page, around)?
        }
        Body::Objects { list, kind } => {
            if !presentation.columns.is_empty() {
                return Err(Failure::arguments("columns are for the formats table and wide"));
            }
            objects(list, &kind, presentation, text, resume, next_page)?
        }
        Body::Object(mut value) => {
            mask::document(&mut value, None);
            cut_text(document(&value, presentation.format)?, room(Budget::CEILING.text))
        }
        Body::Fields { mut object, fields } => {
            mask::document(&mut object, None);
            fields_of(&object, &fields, presentation.format, room(Budget::CEILING.text))?
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

/// Checks the paths of [`Body::Fields`] before anything is read.
///
/// # Errors
/// When there are too many, or one is no path.
pub fn check_fields(fields: &[String]) -> Result<(), Failure> {
    project::paths(fields).map(drop)
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

/// An object or the fields of it that were asked for, in `room` bytes; what is larger comes after a map of its fields.
fn fields_of(object: &Value, fields: &[String], format: Format, room: usize) -> Result<String, Failure> {
    let (part, missing) = match fields {
        [] => (None, Vec::new()),
        fields => project::fields(object, fields, room).map(|(part, missing)| (Some(part), missing))?,
    };
    let shown = part.as_ref().unwrap_or(object);
    let missing = cut_text(missing.iter().map(|line| comment("", line)).collect(), room / 4);
    let text = document(shown, format)?;
    let room = room.saturating_sub(missing.len());
    if text.len() <= room {
        return Ok(missing + &text);
    }
    let map = project::map(shown, part.is_some());
    Ok(format!("{missing}{map}{}", cut_text(text, room.saturating_sub(map.len()))))
}

/// The table of a caller's own columns.
fn projected(list: Listing<Value>, kind: &str, columns: &[String]) -> Result<Listing<Table>, Failure> {
    let Listing { resource, mut content, page, narrow } = list;
    mask::document(&mut content, Some(kind));
    let (continue_token, remaining) = rest_of(&content);
    let items = content.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let table =
        Table { continue_token, remaining, ..project::table(items, &project::columns(columns)?, &page.window()) };
    Ok(Listing { resource, content: table, page, narrow })
}

/// The continue token of a List and how many objects are left behind it.
fn rest_of(list: &Value) -> (Option<String>, Option<u64>) {
    let token = list.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty());
    (token.map(Into::into), list.pointer("/metadata/remainingItemCount").and_then(Value::as_u64))
}

/// What the rows of a table are.
#[derive(Debug, Clone, Copy, Default)]
struct Stand<'a> {
    /// How many objects each stands for; without it, one.
    sizes: Option<&'a [usize]>,
    /// Those that come first on a page of which nothing was shown.
    first: &'a [bool],
    /// Where a page goes on behind each of them.
    resume: Option<&'a Resume>,
}

fn sheet_of_table(
    list: &Listing<Table>,
    stand: &Stand<'_>,
    presentation: &Presentation,
    next_page: impl FnOnce(&Page) -> Option<String>,
    around: usize,
) -> Result<String, Failure> {
    let (table, page) = (&list.content, &list.page);
    let Stand { sizes, first, resume } = *stand;
    let shown = table::Shown::pick(table, presentation)?;
    let budget = presentation.budget;
    let header = shown.header();
    let mut rows = places(table.rows.len(), sizes, page.offset);
    if page.form == Form::Fresh {
        rows.sort_by_key(|place| !first.get(place.row).copied().unwrap_or(false));
    }
    let picked = rows.iter().take(page.window().len()).map(|place| place.row);
    let (budget, header, frame, texts) = match presentation.format {
        Format::Table | Format::Wide => {
            let frame = Frame { before: "\n", between: "\n", after: "" };
            (budget.table, header, frame, shown.lines(picked).collect())
        }
        format @ (Format::Json | Format::Yaml) => {
            let items = shown.objects(picked);
            (budget.text, String::new(), frame_of(format), documents(&items, format)?)
        }
    };
    let items = texts
        .into_iter()
        .zip(&rows)
        .map(|(text, place)| Item { text, rows: counted(resume, place.row, place.size) })
        .collect();
    let sheet = Sheet {
        resource: &list.resource,
        narrow: list.narrow,
        page,
        rows: sizes.map_or_else(|| rows_of(resume, table.rows.len()), |sizes| sizes.iter().sum()),
        token: table.continue_token.clone(),
        remaining: table.remaining,
        frame,
        items,
        starts: rows.iter().map(|place| place.at).collect(),
        form: if sizes.is_some() { Form::Groups } else { Form::Rows },
        resume,
    };
    Ok(sheet.print(&header, budget.saturating_sub(around), next_page))
}

fn objects(
    list: Listing<Value>,
    kind: &str,
    presentation: &Presentation,
    budget: usize,
    resume: Option<&Resume>,
    next_page: impl FnOnce(&Page) -> Option<String>,
) -> Result<String, Failure> {
    let Listing { resource, mut content, page, narrow } = list;
    let (token, remaining) = rest_of(&content);
    mask::document(&mut content, Some(kind));
    let items = content.get("items").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let format = if presentation.format == Format::Json { Format::Json } else { Format::Yaml };
    let window = page.window();
    let within = items.get(window.start..window.end.min(items.len())).unwrap_or_default();
    let texts = documents(within, format)?;
    let sheet = Sheet {
        resource: &resource,
        narrow,
        page: &page,
        rows: rows_of(resume, items.len()),
        token,
        remaining,
        frame: frame_of(format),
        items: (page.offset..).zip(texts).map(|(at, text)| Item { text, rows: counted(resume, at, 1) }).collect(),
        starts: (page.offset..items.len()).collect(),
        form: Form::Rows,
        resume,
    };
    Ok(sheet.print("", budget, next_page))
}

/// How many rows the row at `at` stands for.
fn counted(resume: Option<&Resume>, at: usize, size: usize) -> usize {
    if resume.is_none_or(|resume| resume.counts(at)) { size } else { 0 }
}

/// How many of `length` rows count.
fn rows_of(resume: Option<&Resume>, length: usize) -> usize {
    (0..length).map(|at| counted(resume, at, 1)).sum()
}

/// A row and the objects that it stands for.
struct Place {
    row: usize,
    size: usize,
    /// Objects before it.
    at: usize,
}

/// The rows that were not shown when the first `offset` objects were. A row of which only a part was comes again: groups may
/// be others by now, and to see a pod twice is better than never.
fn places(rows: usize, sizes: Option<&[usize]>, offset: usize) -> Vec<Place> {
    let size = |row| sizes.and_then(|sizes: &[usize]| sizes.get(row)).copied().unwrap_or(1);
    let all = (0..rows).scan(0, |before, row| {
        let place = Place { row, size: size(row), at: *before };
        *before += place.size;
        Some(place)
    });
    all.filter(|place| place.at + place.size > offset).collect()
}

fn frame_of(format: Format) -> Frame {
    if format == Format::Json { json::LIST } else { yaml::LIST }
}

fn documents(items: &[Value], format: Format) -> Result<Vec<String>, Failure> {
    items.iter().map(|item| document(item, format)).collect()
}
