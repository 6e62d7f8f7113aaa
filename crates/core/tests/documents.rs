//! The tables in the docs that are made from core's own tables.
//!
//! `COLLECTIVE_BLESS=1 cargo test -p collective-core --test documents` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

use std::fmt::Write;
use std::path::Path;

use collective_core::Code;
use collective_core::role::{Permission, Role};

/// What stands between the marks of this name must be `table`.
fn table_stands(document: &str, name: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = (
        format!("<!-- {name} -->\n"),
        format!("<!-- end of {name} -->"),
    );
    let (before, rest) = text.split_once(&start).unwrap();
    let (stands, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("COLLECTIVE_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(
        stands, table,
        "docs/{document} differs from the code; bless it as this file's head says"
    );
}

#[test]
fn the_document_of_errors_is_the_table_of_codes() {
    let mut table = "| code | HTTP | exit | meaning |\n|---|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let (text, status, exit) = (code.as_str(), code.http_status(), code.exit_code());
        writeln!(
            table,
            "| <a id=\"{text}\"></a>`{text}` | {status} | {exit} | {} |",
            code.meaning()
        )
        .unwrap();
    }
    table_stands("errors.md", "codes", &table);
}

#[test]
fn the_document_of_permissions_is_the_table_of_roles() {
    use Permission::{
        Administer, AnswerQuestions, ClaimTasks, ControlTasks, CreateTasks, ManageAgents,
        ManageQueues, ManageSchedules, Read, Reserve, SendMessages,
    };
    let all = [
        Read,
        CreateTasks,
        ControlTasks,
        ClaimTasks,
        AnswerQuestions,
        SendMessages,
        Reserve,
        ManageQueues,
        ManageAgents,
        ManageSchedules,
        Administer,
    ];
    let mut table = "| permission |".to_owned();
    for role in Role::ALL {
        write!(table, " {role} |").unwrap();
    }
    table.push_str(" admin |\n|---|");
    table.push_str(&"---|".repeat(Role::ALL.len() + 1));
    table.push('\n');
    for permission in all {
        let word = serde_json::to_value(permission).unwrap();
        write!(table, "| `{}` |", word.as_str().unwrap()).unwrap();
        for role in Role::ALL {
            let mark = if role.permissions().contains(&permission) {
                "yes"
            } else {
                ""
            };
            write!(table, " {mark} |").unwrap();
        }
        table.push_str(" yes |\n");
    }
    table_stands("security.md", "roles", &table);
}
