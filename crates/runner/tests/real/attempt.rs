//! One attempt, from what the command is given to what is read of it.

use std::path::Path;
use std::time::{Duration, Instant};

use collective_core::limits::{MAX_LOG_CHUNK, MAX_LOG_LEN, MAX_RESULT_LEN};
use collective_core::task::FailureClass;
use collective_runner::attempt::{self, AttemptReport, AttemptSpec, Control, Delivery, Exit};
use collective_runner::output::{Chunk, Listeners};
use libtest_mimic::Trial;
use tokio::sync::{mpsc, watch};

use super::support::{DEADLINE, part, pid_in, run, runs, shell, spec, trial, until};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_command_is_given_what_the_table_says", environment),
        trial("a_prompt_reaches_its_command_each_way", deliveries),
        trial("a_prompt_that_nobody_reads_blocks_nothing", unread_prompt),
        trial("a_result_is_the_file_or_else_the_output", results),
        trial("artifacts_are_collected_and_bad_ones_named", artifacts),
        trial("an_attempt_past_its_timeout_is_ended", timeout),
        trial("a_cancelled_attempt_is_told_at_once", cancel),
        trial("what_can_t_start_says_why_and_is_permanent", not_started),
        trial("exit_codes_and_signals_are_classified", classes),
        trial("output_is_streamed_within_its_bounds", flood),
        trial("output_comes_while_the_command_runs", live),
        trial("a_log_that_nobody_takes_blocks_nothing", untaken_log),
        trial("output_that_is_not_utf_8_is_survived", bytes),
        trial("progress_is_told_and_stays_out_of_the_result", progress),
        trial("many_attempts_run_at_once", many),
    ]
}

async fn done(spec: &AttemptSpec) -> AttemptReport {
    attempt::run(run(), spec, Control::default()).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn environment() {
    let folder = folder();
    let mut spec = spec(
        shell(
            "env | grep -e ^COLLECTIVE_ -e ^TRACE -e ^EXTRA | sort
            cat $COLLECTIVE_INPUT $COLLECTIVE_DEPENDENCIES $COLLECTIVE_FEEDBACK $COLLECTIVE_ANSWERS
            pwd
            for pid in $$ $PPID; do
                case $(tr '\\0' ' ' < /proc/$pid/cmdline) in
                    *$COLLECTIVE_TOKEN*) echo secret among the arguments;;
                esac
            done",
        ),
        folder.path(),
    );
    spec.input = serde_json::json!({"a": 1});
    spec.dependencies = serde_json::json!([{"key": "first"}]);
    spec.feedback = Some("it failed".to_owned());
    spec.answers = Some(serde_json::json!(["yes"]));
    spec.identity.traceparent = Some("00-1-2-01".to_owned());
    spec.env = vec![("EXTRA".to_owned(), "more".to_owned())];
    let report = done(&spec).await;
    let private = |line: &str| {
        let (name, value) = line.split_once('=').unwrap();
        let value = match Path::new(value).file_name() {
            Some(file) if value.starts_with('/') => format!("(folder)/{}", file.display()),
            _ => value.to_owned(),
        };
        let value = if name == "COLLECTIVE_GUARD" {
            "(mark)".to_owned()
        } else {
            value
        };
        format!("{name}={value}")
    };
    let lines: Vec<String> = report
        .text
        .lines()
        .map(|line| {
            if line.contains("=") {
                private(line)
            } else {
                line.replace(folder.path().to_str().unwrap(), "(workdir)")
            }
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    COLLECTIVE_AGENT=ada
    COLLECTIVE_ANSWERS=(folder)/answers.json
    COLLECTIVE_ARTIFACTS=(folder)/artifacts
    COLLECTIVE_ATTEMPT=1
    COLLECTIVE_DEPENDENCIES=(folder)/dependencies.json
    COLLECTIVE_DEPENDENCIES_DIR=(folder)/dependencies
    COLLECTIVE_EPOCH=1
    COLLECTIVE_FEEDBACK=(folder)/feedback.md
    COLLECTIVE_GUARD=(mark)
    COLLECTIVE_INPUT=(folder)/input.json
    COLLECTIVE_LEASE=1-0000000000000000000000000000002a
    COLLECTIVE_PROMPT=(folder)/prompt.md
    COLLECTIVE_RESULT=(folder)/result
    COLLECTIVE_TASK=00000000-0000-0000-0000-000000000007
    COLLECTIVE_TASK_NUMBER=12
    COLLECTIVE_TEAM=default
    COLLECTIVE_TOKEN=secret-of-the-agent
    COLLECTIVE_URL=http://127.0.0.1:1
    EXTRA=more
    TRACEPARENT=00-1-2-01
    {"a":1}[{"key":"first"}]it failed["yes"](workdir)
    "#);
}

async fn deliveries() {
    let folder = folder();
    for (delivery, script, argument) in [
        (Delivery::Stdin, "cat", None),
        (
            Delivery::Argument,
            "printf %s \"$0\"; cat",
            Some("{prompt}"),
        ),
        (Delivery::File, "cat \"$0\"; cat", Some("{prompt_file}")),
    ] {
        let mut command = shell(script);
        command.extend(argument.map(str::to_owned));
        let mut spec = spec(command, folder.path());
        spec.delivery = delivery;
        spec.prompt = "line 1\nline 'two' $HOME".to_owned();
        assert_eq!(done(&spec).await.text, spec.prompt, "{delivery:?}");
    }
    // One that no system takes as an argument.
    let mut command = shell("cat \"$(printf %s \"$0\" | grep -o '/[^ ]*prompt.md')\" | wc -c");
    command.push("{prompt}".to_owned());
    let mut spec = spec(command, folder.path());
    spec.delivery = Delivery::Argument;
    spec.prompt = "x".repeat(256 * 1024);
    assert_eq!(done(&spec).await.text.trim(), "262144");
}

async fn unread_prompt() {
    let folder = folder();
    let mut spec = spec(shell("echo fine"), folder.path());
    spec.prompt = "x".repeat(1024 * 1024);
    let report = done(&spec).await;
    assert_eq!(
        (report.exit, report.text.as_str()),
        (Exit::Code(0), "fine\n")
    );
}

async fn results() {
    let folder = folder();
    let cases = [
        ("echo said", "said\n", None),
        (
            "echo '{\"a\": 1}'",
            "{\"a\": 1}\n",
            Some(serde_json::json!({"a": 1})),
        ),
        (
            "echo said; echo written > $COLLECTIVE_RESULT",
            "written\n",
            None,
        ),
        (
            "echo said; echo '{\"n\": 2}' > $COLLECTIVE_RESULT",
            "said\n",
            Some(serde_json::json!({"n": 2})),
        ),
        (
            "echo said; echo '{\"text\": \"t\"}' > $COLLECTIVE_RESULT",
            "t",
            Some(serde_json::json!({"text": "t"})),
        ),
        ("echo said; : > $COLLECTIVE_RESULT", "said\n", None),
        (
            "echo said; echo '{broken' > $COLLECTIVE_RESULT",
            "{broken\n",
            None,
        ),
        ("echo oops >&2", "", None),
    ];
    for (script, text, json) in cases {
        let report = done(&spec(shell(script), folder.path())).await;
        assert_eq!(
            (report.text.as_str(), report.json),
            (text, json),
            "{script}"
        );
        assert!(report.failure.is_none() && report.warnings.is_empty());
    }
    let script = "head -c 3000000 /dev/zero | tr '\\0' a > $COLLECTIVE_RESULT";
    let report = done(&spec(shell(script), folder.path())).await;
    assert_eq!(report.text.len(), MAX_RESULT_LEN);
    assert_eq!(report.warnings.len(), 1, "{:?}", report.warnings);
}

async fn artifacts() {
    let folder = folder();
    let script = "cd $COLLECTIVE_ARTIFACTS; echo one > report.txt; mkdir sub; ln -s /etc/passwd link; \
         echo x > .hidden; head -c 5000000 /dev/zero > big.bin";
    let report = done(&spec(shell(script), folder.path())).await;
    let names: Vec<_> = report.artifacts.iter().map(|made| &made.name[..]).collect();
    assert_eq!(names, ["report.txt"]);
    assert_eq!(report.artifacts[0].content.as_deref(), Some(&b"one\n"[..]));
    insta::assert_snapshot!(report.warnings.join("\n"), @r"
    artifact `.hidden` is left out: artifact name `.hidden` isn't a plain file name
    artifact `big.bin` is left out: it is larger than 4194304 bytes
    artifact `link` is left out: it isn't a plain file
    artifact `sub` is left out: it isn't a plain file
    ");
}

async fn timeout() {
    let folder = folder();
    let daemon = part(&["breeder", folder.path().to_str().unwrap(), "clean", "stay"]);
    let mut spec = spec(daemon, folder.path());
    spec.timeout = Duration::from_millis(1_500);
    spec.grace = Duration::from_millis(200);
    let report = done(&spec).await;
    assert_eq!(report.exit, Exit::TimedOut);
    let failure = report.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(failure.reason, "it ran longer than its timeout of 1s500ms");
    for name in ["command", "daemon", "stubborn"] {
        if let Ok(pid) = std::fs::read_to_string(folder.path().join(name)) {
            assert!(!runs(pid.trim().parse().unwrap()), "{name} lives");
        }
    }
}

async fn cancel() {
    let folder = folder();
    let control = Control::default();
    let cancel = control.cancel.clone();
    // Says when it was told, and needs a moment to end.
    let script =
        "trap 'echo told; sleep 0.2; exit 0' TERM; echo $$ > ready; while :; do sleep 0.05; done";
    let attempt_spec = spec(shell(script), folder.path());
    let ready = folder.path().join("ready");
    let started = tokio::spawn(async move { attempt::run(run(), &attempt_spec, control).await });
    pid_in(&ready).await;
    let asked = Instant::now();
    cancel.cancel();
    let report = started.await.unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(report.exit, Exit::Cancelled);
    assert_eq!(report.text, "told\n");
    assert_eq!(report.failure.unwrap().reason, "it was called off");
}

async fn not_started() {
    let here = folder();
    let file = here.path().join("plain");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    let script = here.path().join("script");
    std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let own = |parts: &[&str]| {
        parts
            .iter()
            .map(|part| (*part).to_owned())
            .collect::<Vec<_>>()
    };
    let cases = [
        (
            own(&["no-such-program-anywhere", "x"]),
            here.path().to_owned(),
        ),
        (own(&["./missing"]), here.path().to_owned()),
        (own(&["./plain"]), here.path().to_owned()),
        (own(&[script.to_str().unwrap()]), here.path().to_owned()),
        (own(&[]), here.path().to_owned()),
        (own(&["true", "a\0b"]), here.path().to_owned()),
        (own(&["true"]), here.path().join("nowhere")),
        (own(&["true"]), file),
    ];
    let mut seen = Vec::new();
    for (command, workdir) in cases {
        let report = done(&spec(command, &workdir)).await;
        let failure = report.failure.unwrap();
        assert_eq!(failure.class, FailureClass::Permanent, "{}", failure.reason);
        assert!(matches!(report.exit, Exit::NotStarted(_)));
        seen.push(
            failure
                .reason
                .replace(here.path().to_str().unwrap(), "(folder)"),
        );
    }
    let mut too_long = spec(own(&["true"]), here.path());
    too_long
        .command
        .extend((0..40).map(|_| "x".repeat(100_000)));
    let failure = done(&too_long).await.failure.unwrap();
    assert_eq!(failure.class, FailureClass::Permanent);
    seen.push(failure.reason);
    insta::assert_snapshot!(seen.join("\n"), @r"
    program `no-such-program-anywhere` doesn't exist in the PATH
    program `./missing` doesn't exist
    program `./plain` may not be executed
    program `(folder)/script` doesn't exist, or its interpreter doesn't
    the command is empty
    the command has an argument with a NUL character
    working folder `(folder)/nowhere` doesn't exist
    working folder `(folder)/plain` is not a folder
    the arguments of `true` are larger than this system allows
    ");
}

async fn classes() {
    let folder = folder();
    for (script, class) in [
        ("exit 75", FailureClass::Transient),
        ("exit 1", FailureClass::Transient),
        ("exit 78", FailureClass::Permanent),
        ("no-such-program-anywhere", FailureClass::Permanent),
        ("kill -SEGV $$", FailureClass::Poison),
        ("kill -KILL $$", FailureClass::Transient),
    ] {
        let script = format!("echo the end >&2; {script}");
        let report = done(&spec(shell(&script), folder.path())).await;
        let failure = report.failure.unwrap();
        assert_eq!(failure.class, class, "{script}: {}", failure.reason);
        assert!(failure.feedback.contains("the end"), "{script}");
        assert!(failure.validate().is_ok());
    }
}

/// A control whose log is collected.
fn logged() -> (Control, tokio::task::JoinHandle<Vec<Chunk>>) {
    let (sender, mut receiver) = mpsc::channel(4);
    let control = Control {
        listeners: Listeners {
            log: Some(sender),
            progress: None,
        },
        ..Control::default()
    };
    let log = tokio::spawn(async move {
        let mut chunks = Vec::new();
        while let Some(chunk) = receiver.recv().await {
            chunks.push(chunk);
        }
        chunks
    });
    (control, log)
}

async fn flood() {
    let folder = folder();
    let script = "seq 1 3000000; echo the end >&2";
    let (control, log) = logged();
    let report = attempt::run(run(), &spec(shell(script), folder.path()), control).await;
    assert_eq!(report.exit, Exit::Code(0));
    assert!(report.text.len() <= MAX_RESULT_LEN && report.text.ends_with("3000000\n"));
    let chunks = log.await.unwrap();
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.bytes.len() <= MAX_LOG_CHUNK)
    );
    let positions: Vec<u64> = chunks.iter().map(|chunk| chunk.position).collect();
    assert_eq!(positions, (1..=chunks.len() as u64).collect::<Vec<_>>());
    let all: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
    assert!(all.len() <= MAX_LOG_LEN);
    let all = String::from_utf8(all).unwrap();
    assert!(all.starts_with("1\n2\n") && all.contains("bytes of output are left out here]\n"));
    assert!(all.contains("the end\n") && all.contains("3000000\n"));
}

async fn live() {
    let folder = folder();
    let (sender, mut receiver) = mpsc::channel(4);
    let mut control = Control::default();
    control.listeners.log = Some(sender);
    let script = "printf 'no newline yet'; while ! [ -e go ]; do sleep 0.02; done; echo ' and on'";
    let attempt_spec = spec(shell(script), folder.path());
    let running = tokio::spawn(async move { attempt::run(run(), &attempt_spec, control).await });
    let first = tokio::time::timeout(DEADLINE, receiver.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.bytes, b"no newline yet");
    std::fs::write(folder.path().join("go"), "").unwrap();
    let second = receiver.recv().await.unwrap();
    assert_eq!((second.position, &second.bytes[..]), (2, &b" and on\n"[..]));
    assert_eq!(running.await.unwrap().text, "no newline yet and on\n");
}

async fn untaken_log() {
    let folder = folder();
    let (sender, mut receiver) = mpsc::channel(1);
    let mut control = Control::default();
    control.listeners.log = Some(sender);
    let attempt_spec = spec(shell("seq 1 200000; echo $$ > ready"), folder.path());
    let running = tokio::spawn(async move { attempt::run(run(), &attempt_spec, control).await });
    // The command gets to its end although nobody reads.
    pid_in(&folder.path().join("ready")).await;
    let mut log = Vec::new();
    while let Some(chunk) = receiver.recv().await {
        log.extend(chunk.bytes);
    }
    assert!(log.starts_with(b"1\n") && log.ends_with(b"200000\n"));
    assert_eq!(running.await.unwrap().exit, Exit::Code(0));
}

async fn bytes() {
    let folder = folder();
    let (control, log) = logged();
    let script = "printf 'a\\377\\000b\\n'; printf '\\360\\237' >&2";
    let report = attempt::run(run(), &spec(shell(script), folder.path()), control).await;
    assert_eq!(report.text, "a\u{fffd}\0b\n");
    let all: Vec<u8> = log
        .await
        .unwrap()
        .into_iter()
        .flat_map(|chunk| chunk.bytes)
        .collect();
    assert_eq!(all, b"a\xff\0b\n\xf0\x9f");
}

async fn progress() {
    let folder = folder();
    let (sender, mut receiver) = watch::channel(None);
    let mut control = Control::default();
    control.listeners.progress = Some(sender);
    let script = "echo ::progress 40 half way; while ! [ -e go ]; do sleep 0.02; done; echo done";
    let attempt_spec = spec(shell(script), folder.path());
    let running = tokio::spawn(async move { attempt::run(run(), &attempt_spec, control).await });
    let seen = receiver
        .wait_for(Option::is_some)
        .await
        .unwrap()
        .clone()
        .unwrap();
    assert_eq!((seen.percent, &seen.note[..]), (Some(40.0), "half way"));
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(running.await.unwrap().text, "done\n");
}

async fn many() {
    let folder = folder();
    let attempts: Vec<_> = (0..32)
        .map(|i| {
            let spec = spec(shell(&format!("sleep 0.1; echo {i}")), folder.path());
            tokio::spawn(async move { attempt::run(run(), &spec, Control::default()).await })
        })
        .collect();
    for (i, attempt) in attempts.into_iter().enumerate() {
        assert_eq!(attempt.await.unwrap().text, format!("{i}\n"));
    }
    until("an empty folder of attempts", || {
        std::fs::read_dir(folder.path()).unwrap().count() == 0
    })
    .await;
}
