//! `docs/durability.md` names every test here, and no other.

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../docs/durability.md");
const SOURCES: [&str; 6] = [
    include_str!("agents.rs"),
    include_str!("bodies.rs"),
    include_str!("disk.rs"),
    include_str!("folder.rs"),
    include_str!("leases.rs"),
    include_str!("server.rs"),
];

#[test]
fn the_document_names_every_test_and_no_other() {
    let named: BTreeSet<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_suffix("` |")?.rsplit_once('`'))
        .map(|(_, name)| name)
        .filter(|name| name.contains('_'))
        .collect();
    let there: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split("#[tokio::test").skip(1))
        .map(|test| test.split_once("async fn ").unwrap().1)
        .map(|test| test.split_once('(').unwrap().0)
        .collect();
    assert!(!there.is_empty());
    assert_eq!(named, there);
}
