//! The table of the docs is the table of the code.
//!
//! `COLLECTIVE_BLESS=1 cargo test -p collective-config --test document` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

use std::fmt::Write;
use std::path::Path;

use collective_config::{For, KEYS, Kind};

#[test]
fn the_document_names_every_key_variable_default_and_bound() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- keys -->\n", "<!-- end of keys -->");
    let (before, rest) = text.split_once(start).unwrap();
    let (stands, after) = rest.split_once(end).unwrap();
    let table = table();
    if std::env::var_os("COLLECTIVE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        stands, table,
        "docs/configuration.md differs from the code; bless it as this file's head says"
    );
}

fn table() -> String {
    let mut table = String::new();
    let mut section = "";
    for key in KEYS {
        let (of, name) = key.name.split_once('.').unwrap();
        if of != section {
            section = of;
            write!(
                table,
                "\n### [{section}]\n\n| key | variables | default | values | engine | meaning |\n|---|---|---|---|---|---|\n"
            )
            .unwrap();
        }
        let mut variables = vec![format!("`{}`", key.own_variable())];
        variables.extend(key.variables.iter().map(|name| format!("`{name}`")));
        let default = match (key.kind, key.default) {
            (_, None) => String::new(),
            (Kind::List, Some("")) => "none".to_owned(),
            (_, Some(default)) => format!("`{default}`"),
        };
        let engine = match key.engine {
            For::Any => "both",
            For::Embedded => "embedded",
            For::Distributed => "distributed",
        };
        writeln!(
            table,
            "| `{name}` | {} | {default} | {} | {engine} | {} |",
            variables.join(", "),
            key.kind.describe(),
            key.meaning
        )
        .unwrap();
    }
    table.push('\n');
    table
}
