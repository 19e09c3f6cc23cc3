use std::sync::Arc;

use super::super::item::{State, Workspace};
use super::{Arena, Listing, VERSIONS};

fn workspace(name: &str, kind: &str) -> Arc<Workspace> {
    Arc::new(Workspace {
        name: name.into(),
        cluster: None,
        kind: kind.into(),
        state: State::Ready,
        why: "".into(),
        mount: false,
        labels: Arc::new([]),
        created: None,
        deleted: None,
    })
}

fn listing(items: &[(&str, &str)]) -> Listing {
    Listing { items: items.iter().map(|(name, kind)| workspace(name, kind)).collect(), cut: false }
}

#[test]
fn equal_lists_are_stored_once_and_others_apart() {
    let arena = Arena::default();
    let root = arena.place("root").unwrap();
    assert_eq!(arena.place("root"), Some(root));
    assert_eq!(arena.listing(root, 0), None, "a place alone has no list");
    let (one, two) =
        (listing(&[("a", "universal"), ("b", "universal")]), listing(&[("a", "universal"), ("b", "team")]));
    assert_eq!(
        (arena.absorb(root, &one), arena.absorb(root, &two), arena.absorb(root, &one)),
        (Some(0), Some(1), Some(0))
    );
    let stored = |version| arena.listing(root, version).unwrap();
    assert_eq!((stored(0), stored(1)), (one, two), "each version is what was read");
    assert!(Arc::ptr_eq(&stored(0).items[0], &stored(1).items[0]), "what did not change is stored once");
    assert!(Arc::ptr_eq(&stored(0).items[0].kind, &stored(0).items[1].kind), "and so are words");
}

#[test]
fn an_empty_list_is_a_list() {
    let arena = Arena::default();
    let leaf = arena.place("leaf").unwrap();
    assert_eq!(arena.absorb(leaf, &listing(&[])), Some(0));
    assert_eq!(arena.absorb(leaf, &listing(&[("new", "universal")])), Some(1));
    assert_eq!(arena.listing(leaf, 0), Some(listing(&[])), "who read the empty one does not see the new child");
}

#[test]
fn a_list_that_changes_all_the_time_is_not_kept_for_ever() {
    let arena = Arena::default();
    let root = arena.place("root").unwrap();
    for version in 0..VERSIONS {
        assert!(arena.absorb(root, &listing(&[(&format!("a{version}"), "universal")])).is_some());
    }
    assert_eq!(arena.absorb(root, &listing(&[("one-too-many", "universal")])), None);
}
