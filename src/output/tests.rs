//! Rendering: snapshots, budgets, pages.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use serde_json::json;

use super::{Answer, Body, Budget, Form, Format, Listing, MAX_HANDLE, Output, Page, Presentation, Resume, render};
use crate::model::{Column, Failure, Row, Table};

fn pods(names: impl IntoIterator<Item = String>, namespace: Option<&str>) -> Table {
    let column = |name: &str, priority| Column { name: name.into(), priority };
    let row =
        |name: String| Row { namespace: namespace.map(Into::into), cells: vec![name, "1/1".into(), "10.0.0.1".into()] };
    Table {
        columns: vec![column("Name", 0), column("Ready", 0), column("Pod IP", 1)],
        rows: names.into_iter().map(row).collect(),
        continue_token: None,
        remaining: None,
    }
}

fn listing(content: Table, page: Page) -> Output {
    Output::new(Body::Table(Listing { resource: "pods".into(), content, page, narrow: "namespace" }))
}

fn shown(output: Output, format: Format) -> Result<Answer, Failure> {
    render(output, &Presentation { format, ..Presentation::default() }, |_| Some("H".repeat(MAX_HANDLE)))
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|at| format!("web-{at:05}"))
}

#[test]
fn tables_are_narrow_wide_or_picked() {
    let output = listing(pods(names(2), Some("a")), Page::first(100)).note("identity is\nshared");
    insta::assert_snapshot!(shown(output.clone(), Format::Table).unwrap().text, @"
    # identity is shared
    NAMESPACE	NAME	READY
    a	web-00000	1/1
    a	web-00001	1/1
    ");
    insta::assert_snapshot!(shown(output.clone(), Format::Wide).unwrap().text, @"
    # identity is shared
    NAMESPACE	NAME	READY	POD IP
    a	web-00000	1/1	10.0.0.1
    a	web-00001	1/1	10.0.0.1
    ");
    insta::assert_snapshot!(shown(output.clone(), Format::Json).unwrap().text, @r#"
    # identity is shared
    [
    {"NAME":"web-00000","NAMESPACE":"a","POD IP":"10.0.0.1","READY":"1/1"},
    {"NAME":"web-00001","NAMESPACE":"a","POD IP":"10.0.0.1","READY":"1/1"}
    ]
    "#);
    let picked = |column: &str| Presentation { columns: vec!["name".into(), column.into()], ..Presentation::default() };
    let answer = render(output.clone(), &picked("pod ip"), |_| None).unwrap();
    assert!(answer.text.contains("NAME\tPOD IP\nweb-00000\t10.0.0.1\n"), "{}", answer.text);
    let failure = render(output, &picked("nope"), |_| None).unwrap_err();
    assert_eq!(failure.to_string(), "there is no column \"nope\". Columns are NAMESPACE, NAME, READY, POD IP");
}

#[test]
fn what_does_not_fit_is_counted_and_can_be_continued() {
    let mut table = pods(names(500), None);
    (table.continue_token, table.remaining) = (Some("api-token".into()), Some(3713));
    let mut next = None;
    let answer = render(listing(table.clone(), Page::first(500)), &Presentation::default(), |page| {
        next = Some(page.clone());
        Some("handle".into())
    });
    let text = answer.unwrap().text;
    let count = text.lines().count() - 2;
    let next = next.unwrap();
    assert_eq!(next, Page { offset: count, form: Form::Rows, ..Page::first(500) });
    assert_eq!(
        text.lines().last().unwrap(),
        format!("# {count} of 4213 pods shown; narrow with namespace, or repeat the call with continue=handle")
    );
    let rest = render(listing(table, Page { offset: 490, ..next }), &Presentation::default(), |page| {
        assert_eq!(page, &Page { token: Some("api-token".into()), before: 500, ..Page::first(500) });
        None
    });
    let rest = rest.unwrap().text;
    assert!(rest.starts_with("NAME\tREADY\nweb-00490\t"), "{rest}");
    assert!(
        rest.ends_with("# 491-500 of 4213 pods shown; this list cannot be continued: narrow with namespace"),
        "{rest}"
    );
    let end = render(
        listing(pods(names(13), None), Page { before: 4200, ..Page::first(500) }),
        &Presentation::default(),
        |_| None,
    );
    assert!(end.unwrap().text.ends_with("# 4201-4213 of 4213 pods shown: the end"));
    let none = shown(listing(pods(names(0), None), Page::first(5)), Format::Table).unwrap();
    assert_eq!(none.text, "no pods");
}

#[test]
fn objects_are_masked_in_every_format() {
    let list = json!({
        "kind": "SecretList", "metadata": {"continue": "", "remainingItemCount": 0},
        "items": [{"metadata": {"name": "a", "managedFields": [{}]}, "data": {"k": "Y2FuYXJ5"}}, {"metadata": {"name": "b\u{202e}"}}],
    });
    let list = Listing { resource: "secrets".into(), content: list, page: Page::first(20), narrow: "" };
    let output = Output::new(Body::Objects { list, kind: "Secret".into() });
    insta::assert_snapshot!(shown(output.clone(), Format::Json).unwrap().text, @r#"
    [
    {"data":{"k":"<masked 6 bytes>"},"metadata":{"name":"a"}},
    {"metadata":{"name":"b�"}}
    ]
    "#);
    insta::assert_snapshot!(shown(output, Format::Yaml).unwrap().text, @"
    data:
      k: <masked 6 bytes>
    metadata:
      name: a
    ---
    metadata:
      name: b�
    ");
    let secret = json!({"kind": "Secret", "stringData": {"k": "canary"}});
    let mut output = Output::new(Body::Object(secret.clone()));
    output.structured = Some(json!({ "items": [secret] }));
    for format in [Format::Table, Format::Wide, Format::Json, Format::Yaml] {
        let answer = shown(output.clone(), format).unwrap();
        assert!(!format!("{answer:?}").contains("canary") && answer.text.contains("<masked 6 bytes>"), "{answer:?}");
    }
}

#[test]
fn a_token_is_masked_in_cells_notes_hints_and_text() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJl";
    let mut output = listing(pods([token.to_owned()], None), Page::first(5)).note(token);
    output.next.push(token.into());
    output.structured = Some(json!([token]));
    let mut text = Output::new(Body::Text(token.into()));
    text.next.push("resources_list".into());
    for answer in [shown(output.clone(), Format::Table), shown(output, Format::Json), shown(text, Format::Table)] {
        let answer = answer.unwrap();
        assert!(
            !format!("{answer:?}").contains("c2lnbmF0dXJl") && answer.text.contains("<masked token>"),
            "{answer:?}"
        );
    }
}

#[test]
fn documents_survive_the_way_through_yaml() {
    let object = json!({
        "kind": "ConfigMap", "data": {"yes": "yes", "no": "no", "n": "1e3", "octal": "010", "empty": "", "text": "a\nb\n", "tilde": "~",
            "long": "word ".repeat(60), "colon": "a: b", "hash": "a #b", "tab": "a\tb", "lines": "\n  indented\n\n", "date": "2026-01-01"},
        "spec": {"replicas": 3, "on": true, "none": null, "ratio": 0.5, "list": [[], {}, [1, [2]]]},
    });
    let answer = shown(Output::new(Body::Object(object.clone())), Format::Yaml).unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&answer.text).unwrap();
    assert_eq!(read, object, "{}", answer.text);
}

#[test]
fn one_giant_item_is_cut_and_said_so() {
    let big = json!({"kind": "ConfigMap", "data": {"a": "line\n".repeat(20_000)}});
    let answer = shown(Output::new(Body::Object(big.clone())), Format::Yaml).unwrap();
    assert!(answer.text.len() <= Budget::CEILING.text && answer.text.contains("# cut: the first "));
    let content = json!({"items": [big, {"kind": "ConfigMap"}]});
    let list = Listing { resource: "configmaps".into(), content, page: Page::first(20), narrow: "namespace" };
    let answer = shown(Output::new(Body::Objects { list, kind: "ConfigMap".into() }), Format::Json).unwrap();
    assert!(answer.text.contains("# 1 of 2 configmaps shown") && answer.text.len() < 2 * Budget::CEILING.text);
    let text = shown(Output::new(Body::Text("é".repeat(20_000))), Format::Table).unwrap();
    assert!(text.text.len() <= Budget::DEFAULT.text);
}

#[test]
fn unknown_formats_name_the_valid_ones() {
    assert_eq!(Format::parse("wide").unwrap(), Format::Wide);
    let failure = Format::parse("xml").unwrap_err();
    assert_eq!(failure.to_string(), "there is no format \"xml\". Formats are table, wide, json, yaml");
}

proptest! {
    /// Whatever the sizes are, following the handles shows every row once, and each answer keeps its budget.
    #[test]
    fn pages_show_every_row_once_inside_the_budget(sizes in proptest::collection::vec(1_usize..200, 0..300), limit in 1_u32..500, json: bool) {
        let rows: Vec<String> = sizes.iter().enumerate().map(|(at, size)| format!("<{at}>{}", "x".repeat(*size))).collect();
        let format = if json { Format::Json } else { Format::Table };
        let step = limit as usize;
        let (mut page, mut seen) = (Page::first(limit), Vec::new());
        for _ in 0..=rows.len() {
            // What an API server does: its token is the index of the next page's first row.
            let start: usize = page.token.as_deref().map_or(0, |token| token.parse().unwrap());
            let end = rows.len().min(start + step);
            let mut table = pods(rows[start..end].iter().cloned(), None);
            table.continue_token = (end < rows.len()).then(|| end.to_string());
            let mut next = None;
            let presentation = Presentation { format, ..Presentation::default() };
            let answer = render(listing(table, page.clone()), &presentation, |page| { next = Some(page.clone()); Some("H".repeat(MAX_HANDLE)) }).unwrap();
            let budget = if json { Budget::DEFAULT.text } else { Budget::DEFAULT.table };
            prop_assert!(answer.text.len() <= budget);
            seen.extend(answer.text.split('<').skip(1).map(|part| part.split('>').next().unwrap().parse::<usize>().unwrap()));
            match next { Some(next) => page = next, None => break }
        }
        prop_assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_list_with_its_own_tokens_goes_on_behind_the_last_row_though_it_changes() {
    for format in [Format::Table, Format::Json] {
        let mut all: Vec<String> = (0..200).map(|at| format!("<{at:03}>{}", "x".repeat(150))).collect();
        let (mut page, mut seen, mut pages) = (Page::first(100), Vec::<String>::new(), 0);
        loop {
            let behind = |name: &&String| page.token.as_ref().is_none_or(|token| *name > token);
            let fitting: Vec<String> = all.iter().filter(behind).cloned().collect();
            let shown = fitting.len().min(100);
            let mut table = pods(fitting[..shown].iter().cloned(), None);
            table.continue_token = (shown < fitting.len()).then(|| fitting[shown - 1].clone());
            table.remaining = Some((fitting.len() - shown) as u64);
            let mut output = listing(table, page.clone());
            let tokens = fitting[..shown].iter().cloned().map(Some).collect();
            output.resume = Some(Resume { tokens, partial: false });
            let mut next = None;
            let presentation = Presentation { format, ..Presentation::default() };
            let answer = render(output, &presentation, |page| {
                next = Some(page.clone());
                Some("H".repeat(MAX_HANDLE))
            });
            let text = answer.unwrap().text;
            seen.extend(text.split('<').skip(1).map(|part| part[..3].to_owned()));
            pages += 1;
            // What was shown goes, and another comes before the place.
            all.remove(0);
            all.insert(0, format!("<000>{pages}"));
            match next {
                Some(next) => page = next,
                None => break,
            }
            assert_eq!((page.offset, page.before), (0, seen.len() as u64), "{format:?}");
        }
        assert!(pages > 2, "{format:?}");
        assert_eq!(seen, (0..200).map(|at| format!("{at:03}")).collect::<Vec<_>>(), "{format:?}");
    }
}

#[test]
fn a_row_that_is_told_again_counts_towards_nothing() {
    let mut table = pods(names(2), None);
    (table.continue_token, table.remaining) = (Some("a".into()), Some(2));
    let mut output = listing(table, Page { token: Some("t".into()), before: 10, ..Page::first(1) });
    let tokens = vec![None, Some("a".into())];
    output.resume = Some(Resume { tokens, partial: true });
    let mut next = None;
    let answer = render(output, &Presentation::default(), |page| {
        next = Some(page.clone());
        Some("H".into())
    });
    let text = answer.unwrap().text;
    assert!(
        text.starts_with("NAME\tREADY\nweb-00000\t1/1\nweb-00001\t1/1\n# 11-11 of more than 13 pods shown; "),
        "{text}"
    );
    assert_eq!(next, Some(Page { token: Some("a".into()), before: 11, ..Page::first(1) }));
}

#[test]
fn copies_of_a_secret_in_its_annotations_are_masked() {
    let mut secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "data": {"a": "Y2FuYXJ5"}, "metadata": {
    "name": "db",
    "annotations": {
        "kapp.k14s.io/original": "{\"kind\":\"Secret\",\"data\":{\"a\":\"Y2FuYXJ5\"}}",
        "objectset.rio.cattle.io/applied": "H4sI".repeat(100),
        "team": "web",
    }}});
    super::scrub_object(&mut secret);
    let shown = secret.to_string();
    assert!(!shown.contains("Y2FuYXJ5") && !shown.contains("H4sIH4sI"), "{shown}");
    assert_eq!(secret["metadata"]["annotations"]["team"], "web");
    let mut list = serde_json::json!({"kind": "SecretList", "items": [{"metadata": {"annotations": {"x": "{\"data\":1}"}}, "data": {}}]});
    super::scrub_object(&mut list);
    assert!(!list.to_string().contains("data\\\":1"), "{list}");
}

#[test]
fn groups_count_what_they_stand_for_and_continue_between_each_other() {
    let column = |name: &str| Column { name: name.into(), priority: 0 };
    let row = |at: usize| Row { namespace: None, cells: vec![format!("web-{at}-*"), "x".repeat(100)] };
    let content = Table {
        columns: vec![column("PODS"), column("STATUS")],
        rows: (0..100).map(row).collect(),
        continue_token: Some("t".into()),
        remaining: Some(9_500),
    };
    let (mut page, mut seen, mut counted) = (Page::first(500), 0, 0);
    for _ in 0..10 {
        let list =
            Listing { resource: "pods".into(), content: content.clone(), page: page.clone(), narrow: "namespace" };
        let output = Output::new(Body::Groups { list, sizes: vec![5; 100], first: Vec::new() });
        let mut next = None;
        let answer = render(output, &Presentation::default(), |page| {
            next = Some(page.clone());
            Some("H".repeat(MAX_HANDLE))
        });
        let text = answer.unwrap().text;
        assert!(text.len() <= Budget::DEFAULT.table && text.contains(" of 10000 pods shown; "), "{text}");
        seen += text.matches("-*").count();
        page = next.unwrap();
        counted = page.before + page.offset as u64;
        assert_eq!(counted, 5 * seen as u64);
        if page.token.is_some() {
            break;
        }
    }
    assert_eq!((seen, counted, page.token.as_deref(), page.before), (100, 500, Some("t"), 500));
    // Groups that became others since: one that was shown in part comes again.
    let rows = |sizes: &[usize], offset| super::places(3, Some(sizes), offset).iter().map(|place| place.row).collect();
    let (none, part, whole): (Vec<_>, Vec<_>, Vec<_>) = (rows(&[5; 3], 0), rows(&[5; 3], 7), rows(&[5; 3], 10));
    assert_eq!((none, part, whole), (vec![0, 1, 2], vec![1, 2], vec![2]));
}

proptest! {
    /// What needs a look comes first, and is another set in every answer: still no row is lost, and there is an end.
    #[test]
    fn no_row_is_lost_when_what_needs_a_look_changes(
        marks in proptest::collection::vec(proptest::collection::vec(proptest::bool::weighted(0.1), 0..120), 1..6),
        limit in 1_u32..60, size in 1_usize..4,
    ) {
        let count = marks[0].len();
        let (mut page, mut seen) = (Page::first(limit), vec![0; count]);
        let mut answers = 0;
        loop {
            let first = marks[answers % marks.len()].clone();
            let content = pods((0..count).map(|at| format!("<{at}>{}", "x".repeat(200))), None);
            let list = Listing { resource: "pods".into(), content, page: page.clone(), narrow: "" };
            let fresh = page.form == Form::Fresh;
            let body = if size > 1 {
                Body::Groups { list, sizes: vec![size; count], first: first.clone() }
            } else {
                Body::Sorted { list, first: first.clone() }
            };
            let mut next = None;
            let answer = render(Output::new(body), &Presentation::default(), |page| { next = Some(page.clone()); Some("H".into()) }).unwrap();
            let shown: Vec<usize> = answer.text.split('<').skip(1).map(|part| part.split('>').next().unwrap().parse().unwrap()).collect();
            let odd = |at: &usize| first.get(*at).copied().unwrap_or(false);
            let in_order = if fresh { shown.is_sorted_by_key(|at| (!odd(at), *at)) } else { shown.is_sorted() };
            prop_assert!(in_order, "{shown:?}");
            shown.iter().for_each(|at| seen[*at] += 1);
            answers += 1;
            prop_assert!(answers <= count + 2, "no end");
            match next { Some(next) => page = next, None => break }
        }
        prop_assert!(seen.iter().all(|times| (1..=2).contains(times)), "{seen:?}");
    }
}

#[test]
fn columns_of_the_callers_own_are_read_from_masked_objects() {
    let items = json!({"metadata": {"continue": "t", "remainingItemCount": 3}, "items": [
        {"metadata": {"name": "a"}, "data": {"password": "Y2FuYXJ5"}},
        {"metadata": {"name": "b"}, "data": {}},
    ]});
    let list = Listing { resource: "secrets".into(), content: items, page: Page::first(2), narrow: "namespace" };
    let output = Output::new(Body::Objects { list, kind: "Secret".into() });
    let presentation = |columns: &[&str]| Presentation {
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        ..Presentation::default()
    };
    let asked = presentation(&["NAME", "P:.data.password"]);
    assert!(asked.wants_objects() && asked.check().is_ok() && !presentation(&["NAME"]).wants_objects());
    assert!(presentation(&["NAME", "P:.data["]).check().is_err() && presentation(&["AGE", "P:.data"]).check().is_err());
    let text = render(output, &asked, |_| Some("H".into())).unwrap().text;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["NAME\tP", "a\t<masked 6 bytes>", "b\t<none>"]);
    assert!(lines[3].starts_with("# 2 of 5 secrets shown; ") && lines[3].ends_with("continue=H"), "{text}");
}

#[test]
fn fields_of_a_secret_stay_masked() {
    let object = json!({"kind": "Secret", "metadata": {"name": "a"}, "data": {"password": "Y2FuYXJ5"}});
    let fields = vec!["data".to_owned(), "data.password".to_owned(), "metadata.nam".to_owned()];
    let text = shown(Output::new(Body::Fields { object, fields }), Format::Table).unwrap().text;
    insta::assert_snapshot!(text, @r#"
    # no field "metadata.nam"; there is name
    data:
      password: <masked 6 bytes>
    data.password: <masked 6 bytes>
    "#);
}

#[test]
fn an_object_of_3_mb_is_cut_behind_a_map_of_its_fields() {
    let object = json!({"kind": "ConfigMap", "metadata": {"name": "big"}, "data": {
        "a\n# forged": "x".repeat(1_000_000), "b.bin": "line\n".repeat(400_000), "small": "y"}});
    let text = shown(Output::new(Body::Fields { object: object.clone(), fields: vec![] }), Format::Table).unwrap().text;
    assert!(text.len() <= Budget::CEILING.text, "{}", text.len());
    assert!(text.starts_with("# it has 3400") && text.contains("\tdata['b.bin']\n"), "{}", &text[..600]);
    assert!(text.contains("# cut: the first ") && !text.lines().any(|line| line.starts_with("# forged")));
    let part = |fields: &[&str]| {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        shown(Output::new(Body::Fields { object: object.clone(), fields }), Format::Table).unwrap().text
    };
    assert_eq!(part(&["data.small", "metadata.name"]), "data.small: \"y\"\nmetadata.name: big");
    let large = part(&["data['b.bin']"]);
    assert!(large.len() <= Budget::CEILING.text && large.contains("# cut: the first "), "{}", &large[..300]);
}
