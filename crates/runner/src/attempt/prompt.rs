//! How a prompt gets to its command.

use std::path::Path;

use super::Delivery;

/// Longest prompt as an argument: Linux takes 128 KiB per argument
/// (`MAX_ARG_STRLEN`), the surrounding text included.
const MAX_ARGUMENT: usize = 120 * 1024;

/// The command with the prompt in its place.
pub(super) fn deliver(
    command: &[String],
    delivery: Delivery,
    prompt: &str,
    file: &Path,
) -> Vec<String> {
    match delivery {
        Delivery::Stdin => command.to_vec(),
        Delivery::Argument => fill(command, "{prompt}", &argument(prompt, file)),
        Delivery::File => fill(command, "{prompt_file}", &file.to_string_lossy()),
    }
}

fn argument(prompt: &str, file: &Path) -> String {
    if prompt.len() <= MAX_ARGUMENT {
        return prompt.to_owned();
    }
    format!(
        "Your task is in the file {}. Read all of it, then do what it says.",
        file.display()
    )
}

fn fill(command: &[String], place: &str, value: &str) -> Vec<String> {
    let mut argv = command.to_vec();
    // The program itself is never a place.
    let mut filled = false;
    for argument in argv.iter_mut().skip(1) {
        if argument.contains(place) {
            *argument = argument.replace(place, value);
            filled = true;
        }
    }
    if !filled {
        argv.push(value.to_owned());
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(command: &[&str], delivery: Delivery, prompt: &str) -> Vec<String> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        deliver(&command, delivery, prompt, Path::new("/p.md"))
    }

    #[test]
    fn the_prompt_takes_its_place_or_the_last_one() {
        let cases: [(&[&str], Delivery, &[&str]); 6] = [
            (&["a", "{prompt}"], Delivery::Stdin, &["a", "{prompt}"]),
            (
                &["a", "-p", "{prompt}", "-x"],
                Delivery::Argument,
                &["a", "-p", "do it", "-x"],
            ),
            (&["a", "-p"], Delivery::Argument, &["a", "-p", "do it"]),
            (
                &["a", "--file={prompt_file}"],
                Delivery::File,
                &["a", "--file=/p.md"],
            ),
            (&["a"], Delivery::File, &["a", "/p.md"]),
            (&["{prompt}"], Delivery::Argument, &["{prompt}", "do it"]),
        ];
        for (command, delivery, expected) in cases {
            assert_eq!(delivered(command, delivery, "do it"), expected);
        }
    }

    #[test]
    fn a_prompt_that_is_no_argument_any_more_is_named_instead() {
        let argv = delivered(&["a"], Delivery::Argument, &"x".repeat(MAX_ARGUMENT + 1));
        assert!(argv[1].contains("/p.md") && argv[1].len() < 200);
    }
}
