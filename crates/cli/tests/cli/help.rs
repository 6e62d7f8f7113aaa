//! Every command explains itself, with examples.

use crate::support::Home;

/// The commands below this one, as its help lists them.
fn below(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_help_with_examples() {
    let home = Home::new();
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = open.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let ran = home.run(&arguments);
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.stderr);
        let commands = below(&ran.stdout);
        // A command that only leads to others may leave the examples to them.
        assert!(
            ran.stdout.contains("Examples") || !commands.is_empty(),
            "{command:?} has no examples"
        );
        let name = format!("help_{}", command.join("_"));
        insta::assert_snapshot!(name.trim_end_matches('_'), ran.stdout);
        open.extend(commands.into_iter().map(|next| {
            let mut longer = command.clone();
            longer.push(next);
            longer
        }));
        seen += 1;
    }
    assert!(seen > 40, "only {seen} commands were found");
}

#[test]
fn completions_are_there_for_every_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = home.run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.stdout.contains("explain"), "{shell}");
    }
}

#[test]
fn the_hidden_commands_say_that_they_are_not_for_people() {
    let home = Home::new();
    let ran = home.run(&["__guard"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("isn't meant"), "{}", ran.stderr);
    let ran = home.run(&["__scripted", "--help"]);
    assert!(ran.text().contains("isn't meant"), "{}", ran.text());
}

#[test]
fn the_version_is_the_crates() {
    let ran = Home::new().run(&["--version"]);
    let expected = format!("collective {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(ran.stdout, expected);
}
