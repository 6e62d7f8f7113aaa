//! The test kit for users: an agent with a personality, played by this binary.
//!
//! A team file can be tried, shown and tested with it before any model is paid
//! for. It is deterministic: what it does follows from its arguments, its
//! task's input and the attempt's number (and, for `quota`, from the clock).
//! `collective __scripted --help` is its documentation.

mod act;
mod part;

use std::ffi::OsString;
use std::process::ExitCode;

use part::Part;

/// The hidden subcommand of the binary that [`main`] is behind.
pub const SUBCOMMAND: &str = "__scripted";

/// What it ends with when it can't tell what to play (EX_USAGE of sysexits(3)).
const WRONG_USE: u8 = 64;

const HELP: &str = "\
Plays an agent of a certain character, so that a team can be tried without a model.
It is what the preset `scripted` runs; it isn't meant to be called by hand.

Usage: collective __scripted PERSONALITY [OPTIONS]

Personalities:
  steady       does its work, telling its progress
  slow         the same in 10 s, so that there is time to watch, cancel or kill it
  silent       says nothing for an hour, then is done: for timeouts
  crashing     dies of a signal, each time: its task is dead after two
  flaky        fails its first attempts, then does its work
  lying        claims to be done without doing its work, until it is told that a
               check failed
  duplicating  does its work, and reports it twice to the server by itself, before
               its runner reports it once more: still one outcome
  quota        meets a provider's limit that resets soon on its first attempts,
               then does its work

Options:
  --seconds=N    how long it works, 0 to 604800, fractions allowed
                 (default: steady 0.5, slow 10, silent 3600, others 0)
                 for quota: how far ahead the limit resets (default 2)
  --failures=N   how many attempts fail, for flaky and quota (default 1), and for
                 crashing (default: all)
  --signal=NAME  what crashing dies of: SEGV (default), ABRT, BUS, ILL, KILL, TERM
  --file=PATH    a file that its work consists of, in the folder where it runs
  --text=TEXT    what it gives as its result, and writes into the file
  -h, --help     this

The task's input, if it is a JSON object, may have the fields `seconds`, `failures`,
`signal`, `file` and `text`; they count more than the options.

Its result is JSON: {\"text\": ..., \"personality\": ..., \"attempt\": ...}.
";

/// What the binary does for the arguments after [`SUBCOMMAND`].
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<String> = arguments
        .into_iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if arguments
        .iter()
        .any(|word| word == "-h" || word == "--help")
    {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Part::cast(&arguments, &part::Surroundings::of_this_process()) {
        Ok(part) => act::play(&part),
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!("`collective {SUBCOMMAND} --help` says what it takes");
            ExitCode::from(WRONG_USE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use part::Personality;

    #[test]
    fn the_help_names_every_personality_and_option() {
        for personality in Personality::ALL {
            assert!(HELP.contains(&format!("\n  {} ", personality.as_str())));
        }
        for option in ["seconds", "failures", "signal", "file", "text"] {
            assert!(HELP.contains(&format!("\n  --{option}=")));
        }
    }

    #[test]
    fn the_preset_offers_what_the_help_names() {
        let book = crate::preset::Presets::built_in();
        let preset = book.get("scripted").unwrap();
        let names: Vec<&str> = preset.options().iter().map(|o| o.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "personality",
                "seconds",
                "failures",
                "signal",
                "file",
                "text"
            ]
        );
        let personalities = Personality::ALL.map(Personality::as_str);
        assert_eq!(preset.options()[0].values, personalities);
    }
}
