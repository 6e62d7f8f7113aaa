//! `docs/degradation.md` names every fault that is tried here, and no other.

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../docs/degradation.md");
const SOURCES: [&str; 5] = [
    include_str!("broker.rs"),
    include_str!("cache.rs"),
    include_str!("database.rs"),
    include_str!("replicas.rs"),
    include_str!("slow.rs"),
];

#[test]
fn the_table_has_a_row_for_every_fault_and_no_other() {
    let rows: BTreeSet<&str> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_suffix("` |")?.rsplit_once('`'))
        .map(|(_, name)| name)
        .collect();
    // A fault that no test tries is code that nobody calls, which the gate refuses.
    let tried: BTreeSet<&str> = SOURCES
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| line.strip_prefix("async fn "))
        .filter_map(|line| line.strip_suffix("(cluster: &mut Cluster) {"))
        .collect();
    assert!(tried.len() > 10, "{tried:?}");
    assert_eq!(rows, tried);
}
