//! The page on the stack says what the code does.

use collective_stack::FindingCode;

#[test]
fn every_code_of_a_finding_is_in_the_page_with_its_meaning() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stack.md");
    let text = std::fs::read_to_string(page).unwrap();
    let (_, rest) = text.split_once("<!-- codes -->").unwrap();
    let (table, _) = rest.split_once("<!-- end of codes -->").unwrap();
    let told: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let expected: Vec<String> = FindingCode::ALL
        .iter()
        .map(|code| format!("| `{code}` | {} |", code.meaning()))
        .collect();
    assert_eq!(told, expected);
}
