//! What is to be played: from arguments, the task's input and the environment.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

/// Longest that it works: as long as an attempt may run at most.
const MAX_SECONDS: f64 = 604_800.0;

/// What it is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Personality {
    Steady,
    Slow,
    Silent,
    Crashing,
    Flaky,
    Lying,
    Duplicating,
    Quota,
}

impl Personality {
    pub(super) const ALL: [Self; 8] = [
        Self::Steady,
        Self::Slow,
        Self::Silent,
        Self::Crashing,
        Self::Flaky,
        Self::Lying,
        Self::Duplicating,
        Self::Quota,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Slow => "slow",
            Self::Silent => "silent",
            Self::Crashing => "crashing",
            Self::Flaky => "flaky",
            Self::Lying => "lying",
            Self::Duplicating => "duplicating",
            Self::Quota => "quota",
        }
    }

    fn default_seconds(self) -> f64 {
        match self {
            Self::Steady => 0.5,
            Self::Slow => 10.0,
            Self::Silent => 3_600.0,
            Self::Quota => 2.0,
            Self::Crashing | Self::Flaky | Self::Lying | Self::Duplicating => 0.0,
        }
    }

    fn default_failures(self) -> u32 {
        match self {
            Self::Crashing => u32::MAX,
            _ => 1,
        }
    }
}

/// What of the world it depends on.
pub(super) struct Surroundings {
    /// The attempt's number, from 1.
    pub(super) attempt: u32,
    /// Whether it was told why the last attempt failed.
    pub(super) told: bool,
    /// Who plays, and at what.
    pub(super) agent: String,
    pub(super) task: String,
    /// The task's input.
    pub(super) input: Value,
    /// Where the result goes, if there is a place for it.
    pub(super) result: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn of_this_process() -> Self {
        let text = |name: &str| std::env::var(name).ok();
        let read = |path: String| std::fs::read(path).ok();
        Self {
            attempt: text("COLLECTIVE_ATTEMPT")
                .and_then(|number| number.parse().ok())
                .unwrap_or(1),
            told: text("COLLECTIVE_FEEDBACK").is_some(),
            agent: text("COLLECTIVE_AGENT").unwrap_or_else(|| "somebody".to_owned()),
            task: text("COLLECTIVE_TASK_NUMBER").unwrap_or_else(|| "0".to_owned()),
            input: text("COLLECTIVE_INPUT")
                .and_then(read)
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .unwrap_or(Value::Null),
            result: text("COLLECTIVE_RESULT").map(PathBuf::from),
        }
    }
}

/// A personality with all that it needs to be played.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) personality: Personality,
    pub(super) time: Duration,
    pub(super) failures: u32,
    pub(super) signal: Signal,
    pub(super) file: Option<PathBuf>,
    pub(super) text: String,
    pub(super) attempt: u32,
    pub(super) told: bool,
    pub(super) result: Option<PathBuf>,
}

/// Why nothing can be played.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Miscast {
    #[error("which personality is it to be?")]
    NoPersonality,
    #[error("no personality is `{0}`; there are {all}", all = all())]
    UnknownPersonality(String),
    #[error("`{0}` is not an option that it has")]
    UnknownOption(String),
    #[error("`{value}` is no value for {name}: {wanted}")]
    BadValue {
        name: &'static str,
        value: String,
        wanted: &'static str,
    },
}

fn all() -> String {
    Personality::ALL.map(Personality::as_str).join(", ")
}

/// The words that were said for each option, as they came.
#[derive(Default)]
struct Said {
    seconds: Option<String>,
    failures: Option<String>,
    signal: Option<String>,
    file: Option<String>,
    text: Option<String>,
}

impl Said {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "seconds" => &mut self.seconds,
            "failures" => &mut self.failures,
            "signal" => &mut self.signal,
            "file" => &mut self.file,
            "text" => &mut self.text,
            _ => return None,
        })
    }

    fn in_arguments(arguments: &[String]) -> Result<(Option<&str>, Self), Miscast> {
        let mut said = Self::default();
        let mut personality = None;
        for argument in arguments {
            match argument
                .strip_prefix("--")
                .and_then(|option| option.split_once('='))
            {
                Some((name, value)) => {
                    let slot = said.slot(name);
                    let slot = slot.ok_or_else(|| Miscast::UnknownOption(argument.clone()))?;
                    *slot = Some(value.to_owned());
                }
                None if argument.starts_with('-') || personality.is_some() => {
                    return Err(Miscast::UnknownOption(argument.clone()));
                }
                None => personality = Some(argument.as_str()),
            }
        }
        Ok((personality, said))
    }

    /// Fields of the input that are something else are the task's own.
    fn hear_input(&mut self, input: &Value) {
        for name in ["seconds", "failures", "signal", "file", "text"] {
            let word = match input.get(name) {
                Some(Value::String(text)) => Some(text.clone()),
                Some(Value::Number(number)) => Some(number.to_string()),
                _ => None,
            };
            if let (Some(slot), Some(word)) = (self.slot(name), word) {
                *slot = Some(word);
            }
        }
    }
}

impl Part {
    pub(super) fn cast(arguments: &[String], around: &Surroundings) -> Result<Self, Miscast> {
        let (name, mut said) = Said::in_arguments(arguments)?;
        let name = name.ok_or(Miscast::NoPersonality)?;
        let personality = Personality::ALL
            .into_iter()
            .find(|personality| personality.as_str() == name)
            .ok_or_else(|| Miscast::UnknownPersonality(name.to_owned()))?;
        said.hear_input(&around.input);
        let seconds = match said.seconds {
            None => personality.default_seconds(),
            Some(text) => text
                .parse()
                .ok()
                .filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
                .ok_or(Miscast::BadValue {
                    name: "seconds",
                    value: text,
                    wanted: "a number from 0 to 604800",
                })?,
        };
        let failures = match said.failures {
            None => personality.default_failures(),
            Some(text) => text.parse().map_err(|_| Miscast::BadValue {
                name: "failures",
                value: text,
                wanted: "a whole number",
            })?,
        };
        let signal = match said.signal {
            None => Signal::SEGV,
            Some(text) => signal(&text).ok_or(Miscast::BadValue {
                name: "signal",
                value: text,
                wanted: "SEGV, ABRT, BUS, ILL, KILL or TERM",
            })?,
        };
        let text = said.text.unwrap_or_else(|| {
            format!(
                "{} ({name}) did task {} on attempt {}",
                around.agent, around.task, around.attempt
            )
        });
        Ok(Self {
            personality,
            time: Duration::from_secs_f64(seconds),
            failures,
            signal,
            file: said.file.map(PathBuf::from),
            text,
            attempt: around.attempt,
            told: around.told,
            result: around.result.clone(),
        })
    }
}

fn signal(name: &str) -> Option<Signal> {
    Some(match name.strip_prefix("SIG").unwrap_or(name) {
        "SEGV" => Signal::SEGV,
        "ABRT" => Signal::ABORT,
        "BUS" => Signal::BUS,
        "ILL" => Signal::ILL,
        "KILL" => Signal::KILL,
        "TERM" => Signal::TERM,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cast(arguments: &[&str], input: Value) -> Result<Part, Miscast> {
        let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        let around = Surroundings {
            attempt: 2,
            told: false,
            agent: "ada".to_owned(),
            task: "7".to_owned(),
            input,
            result: None,
        };
        Part::cast(&arguments, &around)
    }

    #[test]
    fn the_input_counts_more_than_the_options_and_those_more_than_the_defaults() {
        let part = cast(&["slow"], Value::Null).unwrap();
        assert_eq!(part.time, Duration::from_secs(10));
        assert_eq!(part.text, "ada (slow) did task 7 on attempt 2");
        let options = ["slow", "--seconds=1.5", "--file=a", "--signal=SIGKILL"];
        let part = cast(&options, Value::Null).unwrap();
        assert_eq!(part.time, Duration::from_millis(1_500));
        assert_eq!((part.file, part.signal), (Some("a".into()), Signal::KILL));
        let input = json!({"seconds": 3, "file": "b", "text": "x", "failures": [1]});
        let part = cast(&options, input).unwrap();
        assert_eq!(part.time, Duration::from_secs(3));
        assert_eq!((part.file, part.text.as_str()), (Some("b".into()), "x"));
        assert_eq!(part.failures, 1);
    }

    #[test]
    fn what_can_t_be_played_says_why() {
        let cases: [(&[&str], &str); 8] = [
            (&[], "which personality is it to be?"),
            (
                &["moody"],
                "no personality is `moody`; there are steady, slow, silent, crashing, flaky, lying, duplicating, quota",
            ),
            (
                &["steady", "--speed=1"],
                "`--speed=1` is not an option that it has",
            ),
            (&["steady", "slow"], "`slow` is not an option that it has"),
            (&["steady", "-v"], "`-v` is not an option that it has"),
            (
                &["steady", "--seconds=inf"],
                "`inf` is no value for seconds: a number from 0 to 604800",
            ),
            (
                &["flaky", "--failures=-1"],
                "`-1` is no value for failures: a whole number",
            ),
            (
                &["crashing", "--signal=9"],
                "`9` is no value for signal: SEGV, ABRT, BUS, ILL, KILL or TERM",
            ),
        ];
        for (arguments, expected) in cases {
            assert_eq!(
                cast(arguments, Value::Null).unwrap_err().to_string(),
                expected
            );
        }
    }
}
