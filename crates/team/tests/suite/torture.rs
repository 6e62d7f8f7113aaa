//! Whatever the bytes are, the reader answers: with a file, or with mistakes.

use proptest::prelude::*;

use crate::reading::{read, read_bytes};

const GOOD: &str = "\
team: demo
params: {n: 3, who: {default: world, type: text}}
x-a: &a {timeout: 1m, labels: {x: y}}
defaults: {retry: {max_attempts: 2}}
agents:
  ada: {command: [sh, -c, 'echo ${who}'], slots: \"${n}\", queues: [default, rust]}
tasks:
  lint: {<<: *a, for_each: [a, b], title: \"lint ${item}\"}
  end: {depends_on: [lint], checks: [make, {file: x}], input: {a: [1, ~]}}
schedules: {s: {cron: 0 3 * * *}}
";

/// Reads the text; every mistake that comes of it must be showable.
fn survives(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = read(text) {
        prop_assert!(problems.count() > 0);
        let shown = problems.to_string();
        let bare = |c: char| c.is_control() && c != '\n';
        prop_assert!(!shown.contains(bare), "{shown:?}");
        let lines = text.lines().count().max(1) + 1;
        for problem in &problems {
            prop_assert!(problem.line <= lines, "line {} of {lines}", problem.line);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "\\PC{0,200}") {
        survives(&text)?;
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(problems) = read_bytes(&bytes) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn a_good_file_with_a_piece_cut_out_or_put_in_is_survived(
        at in 0..GOOD.len(), cut in 0usize..20, put in "[ \\-:{}\\[\\],&*#'\"$|>a-z0-9\n]{0,8}"
    ) {
        let mut text = GOOD.to_owned();
        text.replace_range(at..(at + cut).min(GOOD.len()), &put);
        survives(&text)?;
    }
}

#[test]
fn the_file_that_is_cut_up_is_good_to_begin_with() {
    read(GOOD).unwrap_or_else(|problems| panic!("{problems}"));
}
