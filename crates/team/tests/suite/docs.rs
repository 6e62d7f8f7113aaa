//! Sections of the reference that are made from the code, between two comments.

use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

/// Compares a whole page with the text, or writes it if `UPDATE_DOCS` is set.
pub(crate) fn assert_page(name: &str, text: &str) {
    let path = path(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert_eq!(found, text, "docs/{name} is old: run with UPDATE_DOCS=1");
}

/// Compares the section with the text, or writes it if `UPDATE_DOCS` is set.
pub(crate) fn assert_section(name: &str, text: &str) {
    let path = path("team-file.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (start, end) = (
        format!("<!-- {name}: made from the code -->\n"),
        "<!-- end -->",
    );
    let (before, rest) = page
        .split_once(&start)
        .unwrap_or_else(|| panic!("no section {name} in {}", path.display()));
    let (found, after) = rest.split_once(end).unwrap();
    let text = format!("\n{text}\n");
    if found == text {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let page = format!("{before}{start}{text}{end}{after}");
        std::fs::write(&path, page).unwrap();
        return;
    }
    assert_eq!(
        found, text,
        "the section {name} of the docs is old: run with UPDATE_DOCS=1"
    );
}
