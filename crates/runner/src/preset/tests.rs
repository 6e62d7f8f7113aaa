//! The built-in presets against what the real CLIs take and print. The outputs
//! were captured, against a stand-in for the provider, from Claude Code 2.1.197,
//! Codex 0.169.0, Gemini CLI 0.61.0, opencode 1.18.33 and Aider 0.86.2, and cut
//! down to the parts that are read.

use std::collections::BTreeMap;

use collective_core::Timestamp;
use collective_core::task::FailureClass;
use serde_json::{Value, json};

use super::*;
use crate::guard::End;

fn options(of: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(of).unwrap()
}

fn shown_command(preset: &str, of: Value) -> String {
    let book = Presets::built_in();
    match book.get(preset).unwrap().command(&options(of)) {
        Ok(made) => {
            let words: Vec<String> = made
                .command
                .iter()
                .map(
                    |word| match word.contains([' ', '{', '"']) || word.is_empty() {
                        true => format!("'{word}'"),
                        false if word.starts_with('/') => "(this binary)".to_owned(),
                        false => word.clone(),
                    },
                )
                .collect();
            format!("{} < {:?}", words.join(" "), made.delivery)
        }
        Err(rejection) => format!("{rejection}; {}", rejection.hint_text().unwrap_or("-")),
    }
}

#[test]
fn every_built_in_preset_builds_its_command() {
    let cases = [
        ("claude", json!({})),
        (
            "claude",
            json!({"model": "opus", "permission_mode": "bypassPermissions", "max_budget_usd": 2.5, "resume": "abc"}),
        ),
        (
            "claude",
            json!({"allowed_tools": ["Edit", "Bash(cargo test:*)"]}),
        ),
        ("codex", json!({})),
        (
            "codex",
            json!({"model": "gpt-5-codex", "sandbox": "read-only", "config": ["a=1", "b=\"x y\""], "resume": "abc"}),
        ),
        ("gemini", json!({})),
        (
            "gemini",
            json!({"model": "gemini-2.5-pro", "approval_mode": "yolo", "resume": "latest"}),
        ),
        ("opencode", json!({})),
        (
            "opencode",
            json!({"model": "anthropic/claude-sonnet-4-5", "agent": "build", "auto": true, "resume": "ses_1"}),
        ),
        ("aider", json!({})),
        (
            "aider",
            json!({"model": "sonnet", "files": ["a.rs", "b.rs"], "auto_commits": "no-auto-commits", "test_cmd": "cargo test"}),
        ),
        ("shell", json!({})),
        ("shell", json!({"strict": false, "trace": true})),
        ("scripted", json!({})),
        (
            "scripted",
            json!({"personality": "flaky", "failures": 2, "seconds": 0.5}),
        ),
    ];
    let seen: Vec<String> = cases
        .map(|(preset, of)| shown_command(preset, of))
        .into_iter()
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    claude -p --output-format stream-json --verbose --permission-mode acceptEdits < Stdin
    claude -p --output-format stream-json --verbose --model opus --permission-mode bypassPermissions --max-budget-usd 2.5 --resume abc < Stdin
    claude -p --output-format stream-json --verbose --permission-mode acceptEdits --allowedTools=Edit '--allowedTools=Bash(cargo test:*)' < Stdin
    codex exec --json --color never --skip-git-repo-check --sandbox workspace-write - < Stdin
    codex exec --json --color never --skip-git-repo-check --model gpt-5-codex --sandbox read-only --config a=1 --config 'b="x y"' resume abc - < Stdin
    gemini --output-format stream-json --skip-trust --approval-mode auto_edit < Stdin
    gemini --output-format stream-json --skip-trust --model gemini-2.5-pro --approval-mode yolo --resume latest < Stdin
    opencode run --format json < Stdin
    opencode run --format json --model anthropic/claude-sonnet-4-5 --agent build --auto --session ses_1 < Stdin
    aider '--message-file={prompt_file}' --yes-always --no-check-update --no-show-release-notes --no-show-model-warnings --no-pretty --no-stream --no-fancy-input --no-detect-urls --no-suggest-shell-commands --no-analytics --auto-commits < File
    aider '--message-file={prompt_file}' --yes-always --no-check-update --no-show-release-notes --no-show-model-warnings --no-pretty --no-stream --no-fancy-input --no-detect-urls --no-suggest-shell-commands --no-analytics --model sonnet --file a.rs --file b.rs --auto-test --test-cmd 'cargo test' --no-auto-commits < File
    sh -eu '{prompt_file}' < File
    sh -x '{prompt_file}' < File
    (this binary) __scripted steady < Stdin
    (this binary) __scripted flaky --seconds=0.5 --failures=2 < Stdin
    "#);
}

#[test]
fn options_that_are_wrong_are_refused_with_the_way_out() {
    let cases = [
        ("claude", json!({"modle": "opus"})),
        ("claude", json!({"permission_mode": "yolo"})),
        ("claude", json!({"model": ["a", {}]})),
        ("claude", json!({"model": ""})),
        ("opencode", json!({"auto": "yes"})),
        ("shell", json!({"interpreter": "bash"})),
    ];
    let seen: Vec<String> = cases
        .map(|(preset, of)| shown_command(preset, of))
        .into_iter()
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    modle: preset `claude` has no option `modle`; did you mean `model`?
    permission_mode: is `yolo`, which it can't be; it can be acceptEdits, auto, bypassPermissions, default, dontAsk, plan
    model: must be texts or numbers; -
    model: is empty, or has a NUL character; -
    auto: must be true or false; -
    interpreter: preset `shell` has no option `interpreter`; it has strict, trace
    "#);
}

/// What a preset makes of an output and an end.
fn read(preset: &str, code: i32, stdout: &str, stderr: &str) -> String {
    let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    let book = Presets::built_in();
    let preset = book.get(preset).unwrap();
    let tail = format!("{stderr}{stdout}");
    let read = preset.reading.read(stdout, &tail);
    if code == 0 && read.error.is_none() {
        let usage = read.usage;
        return format!(
            "{:?} session={:?} in={} out={} cost={}",
            read.text, read.session, usage.input_tokens, usage.output_tokens, usage.cost_micro_usd
        );
    }
    let said = read.error.as_deref().unwrap_or(&tail);
    let seen = preset.rules.classify(Some(End::Code(code)), said, now);
    let until = seen.retry_at.map_or(String::new(), |at| {
        format!(" until {}", &at.to_string()[..16])
    });
    let error = read.error.unwrap_or_default().replace('\n', " ");
    format!("{}{until}: {error}", seen.class.as_str())
}

const CLAUDE_DONE: &str = r#"{"type":"system","subtype":"init","session_id":"616d"}
{"type":"assistant","message":{"content":[{"type":"text","text":"all done"}],"usage":{"input_tokens":11}},"session_id":"616d"}
{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"all done","session_id":"616d","total_cost_usd":0.0005925,"usage":{"input_tokens":11,"cache_creation_input_tokens":50,"cache_read_input_tokens":100,"output_tokens":7}}
"#;

const CODEX_DONE: &str = r#"{"type":"thread.started","thread_id":"01a2"}
{"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata for `gpt-5` not found."}}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"all done"}}
{"type":"turn.completed","usage":{"input_tokens":10,"cached_input_tokens":4,"output_tokens":5,"reasoning_output_tokens":0}}
"#;

const GEMINI_DONE: &str = r#"{"type":"init","session_id":"6fb3","model":"gemini-2.5-flash"}
{"type":"message","role":"user","content":"say hi\n"}
{"type":"message","role":"assistant","content":"all ","delta":true}
{"type":"message","role":"assistant","content":"done","delta":true}
{"type":"result","status":"success","stats":{"total_tokens":15,"input_tokens":10,"output_tokens":5,"cached":0}}
"#;

const OPENCODE_DONE: &str = r#"{"type":"step_start","sessionID":"ses_1","part":{"type":"step-start"}}
{"type":"step_finish","sessionID":"ses_1","part":{"reason":"tool-calls","tokens":{"input":100,"output":20,"reasoning":0,"cache":{"write":0,"read":7}},"cost":0.001}}
{"type":"text","sessionID":"ses_1","part":{"type":"text","text":"all done"}}
{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop","tokens":{"input":10,"output":5,"reasoning":1,"cache":{"write":0,"read":0}},"cost":0.0005}}
"#;

#[test]
fn a_result_and_its_cost_are_read() {
    let cases = [
        ("claude", CLAUDE_DONE),
        ("codex", CODEX_DONE),
        ("gemini", GEMINI_DONE),
        ("opencode", OPENCODE_DONE),
        (
            "aider",
            "Aider v0.86.2\n\nlitellm.RateLimitError: RateLimitError: busy\nRetrying in 0.2 seconds...\n\nall done\n\nTokens: 2.1k sent, 10 received.\n",
        ),
        ("shell", "all done\n"),
    ];
    let seen: Vec<String> = cases
        .map(|(preset, stdout)| format!("{preset}: {}", read(preset, 0, stdout, "")))
        .into_iter()
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    claude: "all done" session=Some("616d") in=161 out=7 cost=593
    codex: "all done" session=Some("01a2") in=10 out=5 cost=0
    gemini: "all done" session=Some("6fb3") in=10 out=5 cost=0
    opencode: "all done" session=Some("ses_1") in=117 out=26 cost=1500
    aider: "Aider v0.86.2\n\nlitellm.RateLimitError: RateLimitError: busy\nRetrying in 0.2 seconds...\n\nall done\n\nTokens: 2.1k sent, 10 received.\n" session=None in=0 out=0 cost=0
    shell: "all done\n" session=None in=0 out=0 cost=0
    "#);
}

/// The last line of a Claude Code session that failed.
fn claude_failed(status: &str, text: &str) -> String {
    let result = json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": status, "result": text, "session_id": "616d"});
    format!("{{\"type\":\"system\",\"subtype\":\"init\"}}\n{result}\n")
}

fn codex_failed(text: &str) -> String {
    let error = json!({"type": "error", "message": text});
    let failed = json!({"type": "turn.failed", "error": {"message": text}});
    format!("{{\"type\":\"thread.started\",\"thread_id\":\"01a2\"}}\n{error}\n{failed}\n")
}

fn gemini_failed(text: &str) -> String {
    let result =
        json!({"type": "result", "status": "error", "error": {"type": "unknown", "message": text}});
    format!("{{\"type\":\"init\",\"session_id\":\"6fb3\"}}\n{result}\n")
}

#[test]
fn failures_of_the_providers_are_recognised() {
    let codex_limit = "You\u{2019}ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at Nov 30th, 2026 12:00 AM.";
    let opencode_refused = r#"{"type":"error","sessionID":"ses_1","error":{"name":"APIError","data":{"message":"invalid x-api-key","statusCode":401,"isRetryable":false}}}"#;
    let aider_refused = "Aider v0.86.2\n\nlitellm.AuthenticationError: AuthenticationError: OpenAIException - invalid \nx-api-key\nThe API provider is not able to authenticate you. Check your API key.\n\n";
    let aider_limited = "litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your \ncurrent quota, please check your plan and billing details.\nThe API provider has rate limited you. Try again later or check your quotas.\n";
    let cases = [
        (
            "claude",
            1,
            claude_failed("401", "Invalid API key · Fix external API key"),
            "",
        ),
        (
            "claude",
            1,
            claude_failed(
                "429",
                "API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.",
            ),
            "",
        ),
        (
            "claude",
            1,
            claude_failed("400", "Credit balance is too low"),
            "",
        ),
        (
            "claude",
            1,
            claude_failed(
                "500",
                "API Error: 500 Internal server error. This is a server-side issue, usually temporary.",
            ),
            "",
        ),
        (
            "claude",
            1,
            claude_failed("429", "Claude AI usage limit reached|1795530000"),
            "",
        ),
        (
            "claude",
            1,
            claude_failed(
                "429",
                "You've hit your session limit · resets 12:50pm (UTC)",
            ),
            "",
        ),
        (
            "claude",
            1,
            claude_failed(
                "429",
                "You've hit your limit · resets Nov 30, 11am (Europe/Berlin)",
            ),
            "",
        ),
        (
            "claude",
            1,
            claude_failed(
                "429",
                "Weekly limit reached · resets 10am (Asia/Seoul) · /upgrade to Max",
            ),
            "",
        ),
        (
            "claude",
            0,
            "{\"type\":\"result\",\"subtype\":\"error_max_turns\",\"is_error\":false}\n".to_owned(),
            "",
        ),
        (
            "claude",
            1,
            String::new(),
            "Invalid API key · Please run /login\n",
        ),
        ("codex", 1, codex_failed(codex_limit), ""),
        (
            "codex",
            1,
            codex_failed("You've hit your usage limit. Try again in 4 days 20 hours 9 minutes."),
            "",
        ),
        (
            "codex",
            1,
            codex_failed("unexpected status 401 Unauthorized: invalid x-api-key"),
            "",
        ),
        (
            "codex",
            1,
            codex_failed("Quota exceeded. Check your plan and billing details."),
            "",
        ),
        (
            "codex",
            1,
            codex_failed(
                "We\u{2019}re currently experiencing high demand, which may cause temporary errors.",
            ),
            "",
        ),
        (
            "gemini",
            173,
            gemini_failed("[API Error: You have exhausted your daily quota on this model.]"),
            "",
        ),
        (
            "gemini",
            173,
            gemini_failed(
                "[API Error: You have exhausted your capacity on this model. Your quota will reset after 8h44m7s.]",
            ),
            "",
        ),
        (
            "gemini",
            145,
            String::new(),
            "Error when talking to Gemini API _ApiError: invalid x-api-key\n",
        ),
        (
            "gemini",
            41,
            String::new(),
            "Invalid auth method selected.\n",
        ),
        ("gemini", 53, String::new(), ""),
        ("opencode", 1, opencode_refused.to_owned(), ""),
        ("aider", 0, aider_refused.to_owned(), ""),
        ("aider", 0, aider_limited.to_owned(), ""),
        (
            "scripted",
            1,
            String::new(),
            "Scripted AI usage limit reached|1795530000\n",
        ),
    ];
    let seen: Vec<String> = cases
        .iter()
        .map(|(preset, code, stdout, stderr)| {
            format!("{preset} {code} {}", read(preset, *code, stdout, stderr))
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    claude 1 permanent: Invalid API key · Fix external API key
    claude 1 quota: API Error: Request rejected (429) · This request would exceed your account's rate limit. Please try again later.
    claude 1 permanent: Credit balance is too low
    claude 1 transient: API Error: 500 Internal server error. This is a server-side issue, usually temporary.
    claude 1 quota until 2026-11-24T14:20: Claude AI usage limit reached|1795530000
    claude 1 quota until 2026-11-24T12:50: You've hit your session limit · resets 12:50pm (UTC)
    claude 1 quota until 2026-11-30T10:00: You've hit your limit · resets Nov 30, 11am (Europe/Berlin)
    claude 1 quota until 2026-11-25T01:00: Weekly limit reached · resets 10am (Asia/Seoul) · /upgrade to Max
    claude 0 transient: error_max_turns
    claude 1 permanent: 
    codex 1 quota until 2026-11-30T00:00: You’ve hit your usage limit. Upgrade to Pro (https://chatgpt.com/explore/pro), visit https://chatgpt.com/settings/usage to purchase more credits or try again at Nov 30th, 2026 12:00 AM.
    codex 1 quota until 2026-11-29T08:09: You've hit your usage limit. Try again in 4 days 20 hours 9 minutes.
    codex 1 permanent: unexpected status 401 Unauthorized: invalid x-api-key
    codex 1 permanent: Quota exceeded. Check your plan and billing details.
    codex 1 transient: We’re currently experiencing high demand, which may cause temporary errors.
    gemini 173 quota: [API Error: You have exhausted your daily quota on this model.]
    gemini 173 quota until 2026-11-24T20:44: [API Error: You have exhausted your capacity on this model. Your quota will reset after 8h44m7s.]
    gemini 145 permanent: 
    gemini 41 permanent: 
    gemini 53 transient: 
    opencode 1 permanent: invalid x-api-key
    aider 0 permanent: litellm.AuthenticationError: AuthenticationError: OpenAIException - invalid  x-api-key The API provider is not able to authenticate you. Check your API key.
    aider 0 quota: litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your  current quota, please check your plan and billing details. The API provider has rate limited you. Try again later or check your quotas.
    scripted 1 quota until 2026-11-24T14:20:
    "#);
}

#[test]
fn what_an_agent_prints_of_limits_while_it_works_is_no_limit() {
    let stdout = r#"{"type":"item.completed","item":{"type":"agent_message","text":"The code handles 429 Too Many Requests."}}
{"type":"turn.failed","error":{"message":"stream disconnected before completion"}}
"#;
    assert_eq!(
        read("codex", 1, stdout, ""),
        "transient: stream disconnected before completion"
    );
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_folder_adds_changes_and_replaces_presets() {
    let folder = folder(&[
        (
            "claude.yaml",
            "extends: claude\noptions:\n  - {name: model, args: [--model, '{value}'], default: opus}\nextra_args: [--safe-mode]\n",
        ),
        (
            "shell.yml",
            "program: bash\nargs: ['{prompt_file}']\nprompt: file\n",
        ),
        (
            "mine.yaml",
            "extends: claude\nprogram: /opt/claude\nfailures:\n  - {class: poison, pattern: 'limit reached'}\nenv: {set: {A: b}}\n",
        ),
        ("notes.txt", "not a preset"),
    ]);
    let book = Presets::built_in().with_folder(folder.path()).unwrap();
    let made = |name: &str| book.get(name).unwrap().command(&BTreeMap::new()).unwrap();
    let claude = made("claude").command;
    assert!(claude.ends_with(&["--safe-mode".to_owned()]) && claude.contains(&"opus".to_owned()));
    assert_eq!(made("shell").command, ["bash", "{prompt_file}"]);
    let mine = made("mine");
    // It extends the preset of the folder, not the built-in one.
    assert_eq!(mine.command[0], "/opt/claude");
    assert!(mine.command.contains(&"opus".to_owned()));
    assert_eq!(mine.env, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(mine.drop_env.len(), 3);
    let now = Timestamp::from_micros(0);
    let seen = mine
        .rules
        .classify(None, "usage limit reached|1795530000", now);
    assert_eq!(seen.class, FailureClass::Poison);
    assert_eq!(book.names().len(), Presets::built_in().names().len() + 1);

    let nowhere = Presets::built_in().with_folder(&folder.path().join("no"));
    assert_eq!(nowhere.unwrap().names(), Presets::built_in().names());
}

#[test]
fn every_mistake_in_a_folder_is_told_with_its_place() {
    let folder = folder(&[
        ("a-syntax.yaml", "program: x\nargs: [--model\n"),
        ("b-field.yaml", "program: x\nargz: []\n"),
        ("c-type.yaml", "program: x\nargs:\n  - {a: b}\n"),
        (
            "d-pattern.yaml",
            "program: x\nfailures:\n  - class: quota\n    pattern: 'a('\n",
        ),
        (
            "e-class.yaml",
            "program: x\nfailures:\n  - class: qouta\n    pattern: a\n",
        ),
        (
            "f-place.yaml",
            "program: x\nargs:\n  - -p\n  - \"{promt}\"\n",
        ),
        ("g-program.yaml", "args: [-p]\n"),
        ("h-extends.yaml", "extends: cluade\n"),
        ("i-loop.yaml", "extends: j-loop\n"),
        ("j-loop.yaml", "extends: i-loop\n"),
        (
            "k-default.yaml",
            "program: x\noptions:\n  - {name: mode, args: ['{value}'], values: [a], default: b}\n",
        ),
        ("l-empty.yaml", ""),
    ]);
    let errors = Presets::built_in().with_folder(folder.path()).unwrap_err();
    let mut seen: Vec<String> = errors
        .iter()
        .map(|error| {
            error
                .to_string()
                .replace(&format!("{}/", folder.path().display()), "")
        })
        .collect();
    seen.sort();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    a-syntax.yaml:2:7: unclosed bracket '['
    b-field.yaml:2:1: unknown field `argz`, expected one of about, extends, program, args, extra_args, options, prompt, briefing, env, output, failures, exit_codes
    c-type.yaml:3:5: expected string scalar
    d-pattern.yaml:4:14: not a regular expression: unclosed group
    e-class.yaml:3:12: unknown variant `qouta`, expected one of transient, quota, permanent, poison
    f-place.yaml:4:5: nothing is known to go in the place of `{promt}`; did you mean `{prompt}`?
    g-program.yaml: neither `program` nor `extends` says what it runs
    h-extends.yaml: no preset is named `cluade`; did you mean `claude`?
    i-loop.yaml: extends `j-loop`, which leads on for ever
    j-loop.yaml: extends `i-loop`, which leads on for ever
    k-default.yaml: the default of option `mode`: is `b`, which it can't be
    l-empty.yaml: neither `program` nor `extends` says what it runs
    "#);
}

#[test]
fn a_team_file_s_own_preset_is_read_and_its_mistakes_have_a_field() {
    let book = Presets::built_in();
    let own = book
        .define(
            "mine",
            &json!({"extends": "codex", "program": "/opt/codex"}),
        )
        .unwrap();
    let made = own.command(&options(json!({"model": "o5"}))).unwrap();
    assert_eq!(made.command[0], "/opt/codex");
    let cases = [
        json!({"program": "x", "args": ["a", 3]}),
        json!({"program": "x", "failures": [{"class": "quota", "pattern": "a("}]}),
        json!({"program": "x", "output": {"format": "xml"}}),
        json!({"extends": "nothing"}),
        json!({"about": "x"}),
        json!(["x"]),
    ];
    let seen: Vec<String> = cases
        .iter()
        .map(|definition| book.define("mine", definition).unwrap_err().to_string())
        .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    args[1]: invalid type: integer `3`, expected a string
    failures[0].pattern: not a regular expression: unclosed group
    output.format: unknown variant `xml`, expected one of `text`, `json`, `jsonl`
    extends: no preset is named `nothing`
    neither `program` nor `extends` says what it runs
    a preset is a mapping
    "#);
}
