//! Every mistake of a request has a row in `docs/bad-input.md`; the rows are what the server really says.
//!
//! `COLLECTIVE_WRITE_DOCS=1 cargo test -p collective-server --test http bad_input` writes them anew.

mod cases;

use std::path::PathBuf;

use collective_core::text::shown;

use crate::harness::{Answer, TestServer};
use cases::{Case, Scene};

/// Where the rows are in the document.
const BEGIN: &str = "<!-- rows: http -->\n";
const END: &str = "<!-- end of rows -->";

/// A row of the table from what the server said.
fn row(case: &Case, answer: &Answer, scene: &Scene) -> String {
    let names = [
        (&scene.done.0, "TASK"),
        (&scene.held.0, "TASK"),
        (&scene.queued, "TASK"),
        (&scene.question, "QUESTION"),
    ];
    let named = |text: &str| {
        names
            .iter()
            .fold(text.to_owned(), |text, (id, name)| {
                text.replace(id.as_str(), name)
            })
            .replace('|', "\\|")
            .replace('<', "&lt;")
    };
    let word = |name: &str| answer.body[name].as_str().unwrap_or_default();
    let field = match word("field") {
        "" => String::new(),
        field => format!("`{}`", shown(field)),
    };
    let mut says = named(word("detail"));
    // The end of a lease or reservation is another time in every run.
    if let Some((before, _)) = says.split_once(" until 2") {
        says = format!("{before} until TIME");
    }
    let path = named(&case.path);
    format!(
        "| {} | `{} {path}` | {} | `{}` | {field} | {says} | {} |\n",
        case.what,
        case.method,
        answer.status,
        word("code"),
        named(word("hint")),
    )
}

#[tokio::test]
async fn every_mistake_is_told_as_its_row_says() {
    let server = TestServer::start().await;
    let scene = Scene::set(&server).await;
    let mut rows = String::new();
    for case in scene.cases() {
        let answer = case.send(&server).await;
        assert!(
            (400..500).contains(&answer.status),
            "{}: {}",
            case.what,
            answer.text
        );
        rows.push_str(&row(&case, &answer, &scene));
    }
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../docs/bad-input.md"]
        .iter()
        .collect();
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let (before, rest) = document.split_once(BEGIN).expect("it has our rows");
    let (table, after) = rest.split_once(END).expect("our rows end");
    let (head, documented) = table.split_at(
        table
            .match_indices('\n')
            .nth(1)
            .map_or(0, |(end, _)| end + 1),
    );
    if std::env::var_os("COLLECTIVE_WRITE_DOCS").is_some() {
        let written = format!("{before}{BEGIN}{head}{rows}{END}{after}");
        std::fs::write(&path, written).expect("the document is written");
        return;
    }
    for (documented, real) in documented.lines().zip(rows.lines()) {
        assert_eq!(documented, real);
    }
    assert_eq!(documented.lines().count(), rows.lines().count());
}
