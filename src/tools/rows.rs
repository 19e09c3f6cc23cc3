//! Tables of tools that have no pages: the first rows that fit an answer, and how many there are.

use crate::model::{Column, Row, Table};
use crate::output::{Body, Listing, Page};

/// Bytes of the rows, at most: the budget of a table leaves the rest for notes and header.
const ROOM: usize = 6_000;
/// Rows, at most.
const MOST: usize = 100;
/// What a cell takes at most; `output` cuts longer ones.
const CELL: usize = 256;

/// A table of the first of `rows` that fit. The second is how many they are, when that is not all of them.
pub(super) fn first(resource: &str, columns: &[&str], mut rows: Vec<Row>) -> (Body, Option<usize>) {
    let all = rows.len();
    let mut room = ROOM;
    let mut shown = 0;
    for row in rows.iter().take(MOST) {
        let cells = row.cells.iter().chain(&row.namespace);
        let size: usize = cells.map(|cell| cell.len().min(CELL) + 1).sum();
        if size > room && shown > 0 {
            break;
        }
        room = room.saturating_sub(size);
        shown += 1;
    }
    rows.truncate(shown);
    let columns = columns.iter().map(|name| Column { name: (*name).to_owned(), priority: 0 }).collect();
    let content = Table { columns, rows, ..Table::default() };
    let page = Page::first(u32::try_from(shown).unwrap_or(u32::MAX).max(1));
    let list = Listing { resource: resource.to_owned(), content, page, narrow: "" };
    (Body::Table(list), (shown < all).then_some(shown))
}

#[cfg(test)]
mod tests {
    use super::first;
    use crate::model::Row;
    use crate::output::{Output, Presentation, render};

    fn printed(count: usize, length: usize) -> (String, Option<usize>) {
        let row = |at: usize| Row { namespace: None, cells: vec![format!("{at:0length$}"), "1m".into()] };
        let (body, shown) = first("pods", &["name", "cpu"], (0..count).map(row).collect());
        let page = |_: &_| panic!("it has no other page");
        (render(Output::new(body), &Presentation::default(), page).unwrap().text, shown)
    }

    #[test]
    fn what_fits_is_shown_and_nothing_can_be_continued() {
        assert_eq!(printed(0, 1), ("no pods".into(), None));
        assert_eq!(printed(2, 1), ("NAME\tCPU\n0\t1m\n1\t1m".into(), None));
        let (text, shown) = printed(5_000, 8);
        assert_eq!((text.lines().count(), shown), (101, Some(100)));
        let (text, shown) = printed(5_000, 2_000);
        assert_eq!((text.lines().count(), shown), (24, Some(23)));
    }
}
