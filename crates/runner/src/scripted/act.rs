//! Plays the parts.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collective_api::leases::Completion;
use collective_client::{Client, ClientOptions, Token};
use collective_core::TeamName;
use collective_core::task::Usage;
use rustix::process::{Resource, Rlimit, getpid, kill_process, setrlimit};
use serde_json::json;

use super::part::{Part, Personality};

/// "Try again" (EX_TEMPFAIL of sysexits(3)).
const TRY_AGAIN: u8 = 75;

/// In how many steps it tells its progress.
const STEPS: u32 = 4;

pub(super) fn play(part: &Part) -> ExitCode {
    let fails = part.attempt <= part.failures;
    match part.personality {
        Personality::Steady | Personality::Slow | Personality::Duplicating => {
            work_visibly(part.time);
        }
        Personality::Silent => std::thread::sleep(part.time),
        Personality::Crashing if fails => {
            work_visibly(part.time);
            die(part)
        }
        Personality::Flaky if fails => {
            work_visibly(part.time);
            eprintln!(
                "failing on purpose: attempt {} of the first {}",
                part.attempt, part.failures
            );
            return ExitCode::from(TRY_AGAIN);
        }
        Personality::Quota if fails => return meet_the_limit(part),
        Personality::Lying if !part.told => {
            work_visibly(part.time);
            return conclude(part, Path::exists);
        }
        // It has done its waiting for the limit.
        Personality::Quota => {}
        Personality::Crashing | Personality::Flaky | Personality::Lying => {
            work_visibly(part.time);
        }
    }
    conclude(part, |file| {
        write_file(file, &part.text)
            .inspect_err(|error| eprintln!("`{}` can't be written: {error}", file.display()))
            .is_ok()
    })
}

fn work_visibly(time: Duration) {
    for step in 1..=STEPS {
        std::thread::sleep(time / STEPS);
        say(&format!(
            "::progress {} step {step} of {STEPS}",
            step * 100 / STEPS
        ));
    }
}

/// Says a line at once. A reader that is gone is no reason to die loudly.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Does what the work consists of, or claims to, and tells the result.
fn conclude(part: &Part, work: impl Fn(&Path) -> bool) -> ExitCode {
    if let Some(file) = &part.file {
        let done = work(file);
        // A liar says so either way.
        if !done && part.personality != Personality::Lying {
            return ExitCode::FAILURE;
        }
    }
    let result = json!({
        "text": part.text,
        "personality": part.personality.as_str(),
        "attempt": part.attempt,
    });
    if let Some(path) = &part.result
        && let Err(error) = std::fs::write(path, result.to_string())
    {
        eprintln!("the result can't be written: {error}");
        return ExitCode::FAILURE;
    }
    if part.personality == Personality::Duplicating {
        report_twice(part, &result);
    }
    if part.personality != Personality::Silent {
        say(&part.text);
    }
    ExitCode::SUCCESS
}

fn write_file(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, format!("{text}\n"))
}

/// Dies of the signal, without leaving a core file.
fn die(part: &Part) -> ! {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
    eprintln!("dying of a signal on purpose");
    loop {
        // The first of some signals only takes the runtime's handler away.
        let _ = kill_process(getpid(), part.signal);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Prints what a provider would, in the form that the preset recognises.
fn meet_the_limit(part: &Part) -> ExitCode {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    // Whole seconds, never earlier than asked.
    let reset = (now + part.time).as_secs() + 1;
    eprintln!("Scripted AI usage limit reached|{reset}");
    ExitCode::FAILURE
}

/// Reports its completion twice by itself; its runner will do so once more.
fn report_twice(part: &Part, result: &serde_json::Value) {
    let answers = match completion(part, result) {
        Some((options, completion)) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(send_twice(options, completion)),
                Err(error) => vec![error.to_string()],
            }
        }
        None => vec!["there is no server to report to".to_owned()],
    };
    for (number, answer) in (1..).zip(answers) {
        say(&format!("report {number}: {answer}"));
    }
}

/// What to report and to whom, as the environment says it.
fn completion(part: &Part, result: &serde_json::Value) -> Option<(ClientOptions, Completion)> {
    let text = |name: &str| std::env::var(name).ok();
    let token = Token::new(text("COLLECTIVE_TOKEN")?);
    let team: TeamName = text("COLLECTIVE_TEAM")?.parse().ok()?;
    let options = ClientOptions::new(text("COLLECTIVE_URL")?, token).team(team);
    let completion = Completion {
        task: text("COLLECTIVE_TASK")?.parse().ok()?,
        token: text("COLLECTIVE_LEASE")?.parse().ok()?,
        text: part.text.clone(),
        json: Some(result.clone()),
        artifacts: Vec::new(),
        usage: Usage::default(),
        commit: None,
        evidence: Vec::new(),
    };
    Some((options, completion))
}

async fn send_twice(options: ClientOptions, completion: Completion) -> Vec<String> {
    let client = match Client::new(options) {
        Ok(client) => client,
        Err(error) => return vec![error.to_string()],
    };
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(match client.complete(completion.clone()).await {
            Ok(settled) => format!("the task is {}", settled.state),
            Err(error) => format!("refused: {error}"),
        });
    }
    answers
}
