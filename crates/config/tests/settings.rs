//! What is said where, which counts, and what is told when it is wrong.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use collective_config::{
    Engine, Flag, Inputs, KEYS, Kind, Loaded, Mistakes, Origin, PostgresTls, Tls, load,
};
use tempfile::TempDir;

/// A folder with a file, an environment and flags.
struct Case {
    home: TempDir,
    inputs: Inputs,
}

impl Case {
    fn new(toml: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("collective.toml");
        std::fs::write(&path, toml).unwrap();
        let inputs = Inputs {
            file: Some(path),
            ..Inputs::default()
        };
        Self { home, inputs }
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.inputs.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, key: &'static str, value: &str) -> Self {
        let value = value.to_owned();
        self.inputs.flags.push(Flag { name, key, value });
        self
    }

    /// A file of its own, private unless it is told otherwise.
    fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, Mistakes> {
        load(&self.inputs)
    }

    /// The mistakes as they are told, with the folder left out.
    fn told(&self) -> String {
        let text = self.load().unwrap_err().to_string();
        text.replace(&format!("{}/", self.home.path().display()), "")
    }
}

fn entry(loaded: &Loaded, key: &str) -> (Option<String>, Origin) {
    let entry = loaded.entries.iter().find(|entry| entry.key == key);
    let entry = entry.unwrap_or_else(|| panic!("{key} is not shown"));
    (entry.value.clone(), entry.from.clone())
}

fn distributed(loaded: &Loaded) -> &collective_config::Distributed {
    match &loaded.settings.engine {
        Engine::Distributed(parts) => parts,
        Engine::Embedded(_) => panic!("the engine is embedded"),
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    let loaded = load(&Inputs::default()).unwrap();
    assert_eq!(loaded.settings.server.listen.to_string(), "127.0.0.1:7420");
    assert!(matches!(loaded.settings.engine, Engine::Embedded(sqlite) if sqlite.full_sync));
    assert_eq!(loaded.settings.log.filter, "info");
    assert!(
        loaded
            .entries
            .iter()
            .all(|entry| entry.from == Origin::Default)
    );
    assert!(loaded.warnings.is_empty());
}

#[test]
fn every_default_can_be_read_and_every_key_has_one_section() {
    for key in KEYS {
        assert_eq!(key.name.matches('.').count(), 1, "{}", key.name);
        assert!(key.meaning.ends_with('.'), "{}", key.name);
        if let Kind::SecretFile(holds) = key.kind {
            assert!(KEYS.iter().any(|other| other.name == holds), "{holds}");
        }
    }
    // What couldn't be read would be missing here.
    for engine in ["embedded", "distributed"] {
        let loaded = Case::new("")
            .variable("COLLECTIVE_ENGINE", engine)
            .load()
            .unwrap();
        for key in KEYS
            .iter()
            .filter(|key| key.counts_for(engine == "distributed"))
        {
            let (value, _) = entry(&loaded, key.name);
            assert_eq!(value.is_some(), key.default.is_some(), "{}", key.name);
        }
    }
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let key = "server.listen";
    let case = Case::new("[server]\nlisten = \"127.0.0.1:1\"\nhosts = [\"a\", \"b\"]\n");
    let loaded = case.load().unwrap();
    let (value, from) = entry(&loaded, key);
    assert_eq!(value.as_deref(), Some("127.0.0.1:1"));
    assert!(
        matches!(
            from,
            Origin::File {
                line: 2,
                column: 10,
                ..
            }
        ),
        "{from}"
    );
    assert_eq!(loaded.settings.server.hosts, ["a", "b"]);

    let case = case.variable("COLLECTIVE_SERVER_LISTEN", "127.0.0.1:2");
    let (value, from) = entry(&case.load().unwrap(), key);
    assert_eq!(value.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(from.to_string(), "COLLECTIVE_SERVER_LISTEN");

    let case = case.flag("--listen", key, "127.0.0.1:3");
    let (value, from) = entry(&case.load().unwrap(), key);
    assert_eq!(value.as_deref(), Some("127.0.0.1:3"));
    assert_eq!(from, Origin::Flag { name: "--listen" });
}

#[test]
fn the_usual_variables_of_the_three_servers_work() {
    let mut case = Case::new("[engine]\nkind = \"distributed\"\n");
    for (name, value) in [
        ("POSTGRES_HOST", "pg"),
        ("POSTGRES_PORT", "5433"),
        ("POSTGRES_DB", "team"),
        ("POSTGRES_USER", "ada"),
        ("POSTGRES_PASSWORD", "p1"),
        ("RABBITMQ_HOST", "mq"),
        ("RABBITMQ_PORT", "5673"),
        ("RABBITMQ_VHOST", "/team"),
        ("RABBITMQ_DEFAULT_USER", "bob"),
        ("RABBITMQ_DEFAULT_PASS", "p2"),
        ("REDIS_HOST", "cache"),
        ("REDIS_PORT", "6380"),
        ("REDIS_PASSWORD", "p3"),
    ] {
        case = case.variable(name, value);
    }
    let loaded = case.load().unwrap();
    let parts = distributed(&loaded);
    let host = &parts.store.hosts[0];
    assert_eq!((host.name.as_str(), host.port), ("pg", 5433));
    assert_eq!(
        (parts.store.database.as_str(), parts.store.user.as_str()),
        ("team", "ada")
    );
    assert_eq!(parts.store.password.as_ref().unwrap().reveal(), "p1");
    assert_eq!((parts.bus.host.as_str(), parts.bus.port), ("mq", 5673));
    assert_eq!(
        (parts.bus.vhost.as_str(), parts.bus.user.as_str()),
        ("/team", "bob")
    );
    assert_eq!(parts.bus.password.reveal(), "p2");
    assert_eq!(
        (parts.cache.host.as_str(), parts.cache.port),
        ("cache", 6380)
    );
    assert_eq!(parts.cache.password.as_ref().unwrap().reveal(), "p3");
    for secret in ["p1", "p2", "p3"] {
        assert!(!format!("{loaded:?}").contains(&format!("\"{secret}\"")));
    }
    assert_eq!(entry(&loaded, "bus.password").0.as_deref(), Some("***"));
}

#[test]
fn a_url_stands_for_its_parts_and_each_part_can_be_replaced_above() {
    let case = Case::new(
        "[engine]\nkind = \"distributed\"\n[store]\nurl = \"postgres://ada:p1@one,two:5433/team?sslmode=require\"\n[bus]\nurl = \"amqps://mq\"\n",
    );
    let loaded = case.load().unwrap();
    let store = &distributed(&loaded).store;
    let hosts: Vec<String> = store
        .hosts
        .iter()
        .map(|host| format!("{}:{}", host.name, host.port))
        .collect();
    assert_eq!(hosts, ["one:5432", "two:5433"]);
    assert_eq!(store.tls, PostgresTls::Require);
    let bus = &distributed(&loaded).bus;
    assert_eq!(bus.port, 5671, "TLS has a port of its own");
    assert_eq!(bus.tls, Some(Tls { ca_file: None }));
    assert_eq!(
        (bus.user.as_str(), bus.password.reveal()),
        ("guest", "guest")
    );

    let case = case
        .variable("POSTGRES_PASSWORD", "p2")
        .variable("POSTGRES_DB", "other");
    let loaded = case.load().unwrap();
    let store = &distributed(&loaded).store;
    assert_eq!(store.password.as_ref().unwrap().reveal(), "p2");
    assert_eq!(
        (store.user.as_str(), store.database.as_str()),
        ("ada", "other")
    );
}

#[test]
fn a_secret_comes_from_a_file_without_its_line_break() {
    for content in ["p w", "p w\n", "p w\r\n"] {
        let case = Case::new("[engine]\nkind = \"distributed\"\n");
        let path = case.file("secret", content.as_bytes(), 0o600);
        let case = case.variable("POSTGRES_PASSWORD_FILE", path.to_str().unwrap());
        let loaded = case.load().unwrap();
        let password = distributed(&loaded).store.password.clone().unwrap();
        assert_eq!(password.reveal(), "p w");
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let (value, from) = entry(&loaded, "store.password");
        assert_eq!(value.as_deref(), Some("***"));
        assert_eq!(from.to_string(), "POSTGRES_PASSWORD_FILE");
    }
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of() {
    let case = Case::new("");
    let path = case.file("secret", b"x", 0o644);
    let case = case
        .variable("COLLECTIVE_ENGINE", "distributed")
        .variable("REDIS_PASSWORD_FILE", path.to_str().unwrap());
    let warnings = case.load().unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("chmod 600"), "{warnings:?}");
}

#[test]
fn a_file_that_holds_no_secret_is_a_mistake() {
    for (content, expected) in [
        (None, "can't be read"),
        (Some(&b""[..]), "is empty"),
        (Some(b"\n"), "is empty"),
        (Some(b"\xff"), "is not UTF-8"),
        (Some(&[b'x'; 5_000]), "is longer than"),
    ] {
        let case = Case::new("[engine]\nkind = \"distributed\"\n");
        let path = match content {
            Some(content) => case.file("secret", content, 0o600),
            None => case.home.path().join("secret"),
        };
        let case = case.variable("RABBITMQ_PASSWORD_FILE", path.to_str().unwrap());
        let told = case.told();
        assert!(
            told.starts_with("RABBITMQ_PASSWORD_FILE: error[unreadable]: bus.password_file: "),
            "{told}"
        );
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn every_mistake_is_told_at_once_and_at_its_place() {
    let case = Case::new(
        r#"[server]
listen = "localhost"
alow_remote = true
max_streams = 0

[servr]
x = 1

[engine]
kind = "distributed"

[store]
port = "5432"
writers = 501
connect_timeout = "1"
tls = "on"
password = 5

[log]
format = "xml"
"#,
    )
    .variable("POSTGRES_PORT", "many")
    .variable("COLLECTIVE_STORE_PROT", "1")
    .variable("COLLECTIVE_TASK", "not ours")
    .variable("REDIS_URL", "http://:hunter2@h");
    let told = case.told();
    let expected = "\
collective.toml:2:10: error[bad_value]: server.listen: `localhost` is not an address and port
  hint: it is ADDRESS:PORT
collective.toml:3:1: error[unknown_key]: server.alow_remote: there is no such key
  hint: did you mean `allow_remote`?
collective.toml:4:15: error[out_of_bounds]: server.max_streams: 0 is outside of its bounds: 1 to 100000
  hint: it is 1 to 100000
collective.toml:6:2: error[unknown_key]: servr: there is no section `servr`
  hint: did you mean `server`?
collective.toml:13:8: error[wrong_type]: store.port: must be a whole number, not a text
  hint: it is 1 to 65535
collective.toml:14:11: error[out_of_bounds]: store.writers: 501 is outside of its bounds: 1 to 500
  hint: it is 1 to 500
collective.toml:15:19: error[bad_value]: store.connect_timeout: `1` is not a length of time
  hint: it is time such as `5s`, 100ms to 10m
collective.toml:16:7: error[bad_value]: store.tls: `on` is not one of `disable`, `prefer`, `require`, `verify-full`
  hint: it is `disable`, `prefer`, `require`, `verify-full`
collective.toml:17:12: error[wrong_type]: store.password: must be a text, not a whole number
  hint: it is secret
collective.toml:20:10: error[bad_value]: log.format: `xml` is not one of `text`, `json`
  hint: it is `text`, `json`
COLLECTIVE_STORE_PROT: error[unknown_variable]: there is no such variable
  hint: did you mean `COLLECTIVE_STORE_PORT`?
POSTGRES_PORT: error[bad_value]: store.port: `many` is not a whole number
  hint: it is 1 to 65535
REDIS_URL: error[bad_value]: cache.url: is a URL of another kind of server
  hint: write redis://USER:PASSWORD@HOST:PORT/DATABASE, or rediss:// for TLS
13 mistakes in the settings
";
    assert_eq!(told, expected);
    let json = serde_json::to_string(&case.load().unwrap_err()).unwrap();
    assert!(!json.contains("hunter2"), "{json}");
}

#[test]
fn a_file_that_is_not_toml_is_told_where_it_breaks() {
    let told = Case::new("[server]\nlisten = \n[server]\n").told();
    assert!(told.starts_with("collective.toml:2:"), "{told}");
    assert!(told.contains("error[syntax]: is not TOML: "), "{told}");
    let told = Case::new("[log]\nfilter = \"a\"\nfilter = \"b\"\n").told();
    assert!(
        told.starts_with("collective.toml:3:1: error[syntax]"),
        "{told}"
    );
    let mut case = Case::new("");
    case.inputs.file = Some(case.home.path().join("missing.toml"));
    assert!(
        case.told()
            .starts_with("missing.toml: error[unreadable]: can't be read")
    );
}

#[test]
fn saying_it_twice_is_a_mistake_only_if_it_differs() {
    let case = |other: &str| {
        Case::new("[engine]\nkind = \"distributed\"\n")
            .variable("REDIS_URL", "redis://:one@h:6380")
            .variable("REDIS_PASSWORD", other)
            .variable("REDIS_PORT", "6380")
    };
    assert!(case("one").load().is_ok());
    let told = case("two").told();
    assert!(
        told.contains("error[said_twice]: cache.password: is said differently by REDIS_"),
        "{told}"
    );
    assert!(!told.contains("one") && !told.contains("two"), "{told}");

    let told = Case::new("[engine]\nkind = \"distributed\"\n")
        .variable("RABBITMQ_HOST", "a")
        .variable("COLLECTIVE_BUS_HOST", "b")
        .told();
    assert!(
        told.contains("bus.host: is `a` here, but `b` by COLLECTIVE_BUS_HOST"),
        "{told}"
    );

    let twice = Case::new("");
    let path = twice.file("secret", b"from file", 0o600);
    let toml = format!(
        "[engine]\nkind = \"distributed\"\n[store]\npassword = \"inline\"\npassword_file = \"{}\"\n",
        path.display()
    );
    let told = Case::new(&toml).told();
    assert!(told.contains("error[said_twice]: store.password"), "{told}");
}

#[test]
fn what_does_not_go_together_is_told() {
    let told = Case::new("[server]\nlisten = \"0.0.0.0:7420\"\n").told();
    assert!(
        told.contains("error[not_together]: server.listen: 0.0.0.0:7420 can be reached"),
        "{told}"
    );
    let allowed = Case::new("[server]\nlisten = \"0.0.0.0:7420\"\nallow_remote = true\n");
    assert!(allowed.load().is_ok());

    let case = Case::new(
        "[engine]\nkind = \"distributed\"\n[cache]\nca_file = \"ca.pem\"\n[bus]\nuser = \"ada\"\n",
    );
    let told = case.told();
    assert!(
        told.contains(
            "error[not_together]: cache.ca_file: there is a CA file, but cache.tls is off"
        ),
        "{told}"
    );
    assert!(
        told.contains("error[missing]: bus.password: the user `ada` has no password"),
        "{told}"
    );

    let told = Case::new(
        "[engine]\nkind = \"distributed\"\n[cache]\ntls = true\nca_file = \"/missing/ca.pem\"\n",
    )
    .told();
    assert!(
        told.contains("error[unreadable]: cache.ca_file: the file /missing/ca.pem can't be read"),
        "{told}"
    );
}

#[test]
fn what_others_say_of_their_database_is_not_read_by_an_embedded_server() {
    let case = Case::new("[store]\nhost = \"pg\"\n")
        .variable("DATABASE_URL", "mysql://x")
        .variable("POSTGRES_PORT", "many")
        .variable("POSTGRES_PASSWORD_FILE", "/missing");
    let loaded = case.load().unwrap();
    assert!(loaded.entries.iter().all(|entry| entry.key != "store.host"));
    assert_eq!(loaded.warnings.len(), 1);
    assert!(
        loaded.warnings[0]
            .contains("store.host is not used: it is for engine.kind = \"distributed\"")
    );
}

#[test]
fn an_empty_variable_says_nothing() {
    let case = Case::new("[log]\nfilter = \"warn\"\n").variable("COLLECTIVE_LOG", "");
    assert_eq!(case.load().unwrap().settings.log.filter, "warn");
}

#[test]
fn a_flag_can_hold_no_secret() {
    for key in KEYS.iter().filter(|key| key.is_secret()) {
        assert!(key.counts_for(true), "{}", key.name);
        let case = Case::new("[engine]\nkind = \"distributed\"\n");
        let read = std::panic::catch_unwind(|| case.flag("--x", key.name, "hunter2").load());
        assert!(read.is_err(), "{} can be set by a flag", key.name);
    }
}

#[test]
fn traces_go_nowhere_until_a_collector_is_named() {
    let case = Case::new("[trace]\nratio = 0.25\nservice = \"team\"\n");
    assert_eq!(case.load().unwrap().settings.trace, None);

    let case = case.variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");
    let trace = case.load().unwrap().settings.trace.unwrap();
    assert_eq!(trace.endpoint, "http://localhost:4318");
    assert_eq!(
        (trace.ratio.as_f64(), trace.service.as_str()),
        (0.25, "team")
    );

    let case = case
        .variable("COLLECTIVE_TRACE_RATIO", "1")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b%2Cc, x-more=2");
    let loaded = case.load().unwrap();
    assert_eq!(entry(&loaded, "trace.headers").0.as_deref(), Some("***"));
    let trace = loaded.settings.trace.unwrap();
    assert_eq!(trace.ratio.as_f64(), 1.0);
    let headers: Vec<(&str, &str)> = trace
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.reveal()))
        .collect();
    assert_eq!(headers, [("x-key", "a b,c"), ("x-more", "2")]);
}

#[test]
fn what_no_collector_can_be_is_told_without_its_secret() {
    for (name, value, told) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:4318", "needs TLS"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:4318", "is not an address"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://h:99999",
            "a port that is none",
        ),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4318", "has no host"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://u:hush@h",
            "carries a user",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://h/?a=hush",
            "more than an address",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush", "NAME=VALUE"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a b=hush",
            "no header can have",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=hush%0A",
            "no header can have",
        ),
        ("COLLECTIVE_TRACE_RATIO", "1.01", "0 to 1"),
        ("COLLECTIVE_TRACE_RATIO", "NaN", "0 to 1"),
        ("COLLECTIVE_TRACE_RATIO", "some", "is not a number"),
    ] {
        let case = Case::new("[trace]\nendpoint = \"http://localhost:4318\"\n");
        let text = case.variable(name, value).told();
        assert!(text.contains(told), "{name}={value}: {text}");
        assert!(!text.contains("hush"), "{name}={value}: {text}");
    }
}
