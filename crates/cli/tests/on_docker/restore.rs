//! What a backup holds comes back: to a moment, into a stack with other
//! passwords, after a kill in the middle, after everything is gone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::life::{add, assert_proven};
use crate::site::{Ran, SERVICES, Site, docker, until};

/// The queue in which tasks are offered that no agent has taken.
const OFFERS: &str = "agent.tasks.default.queue.default.normal";
/// Where a message waits that no server makes anew.
const DEAD: &str = "agent.dead";
const LETTER: &str = "a letter that waits";
const PARTS: usize = 4;

/// The codes of what is wrong.
fn wrong(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.code, Some(1), "{}", ran.text());
    let findings = ran.json()["findings"].clone();
    let wrong = findings.as_array().unwrap().iter();
    wrong
        .filter(|one| one["level"] == "wrong")
        .map(|one| one["code"].as_str().unwrap().to_owned())
        .collect()
}

/// Asks the broker's management interface at the container's own address: the
/// stack publishes no port.
fn broker(site: &Site, path: &str, body: &Value) -> Value {
    let login = format!(
        "{}:{}",
        site.variable("RABBITMQ_USER"),
        site.variable("RABBITMQ_PASSWORD")
    );
    let body = body.to_string();
    let request = format!(
        "POST /api/{path} HTTP/1.0\r\nhost: rabbitmq\r\nauthorization: Basic {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        base64(&login),
        body.len()
    );
    let mut stream = TcpStream::connect((site.address("rabbitmq"), 15_672)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{path}: {answer}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in text.as_bytes().chunks(3) {
        let byte = |at: usize| three.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            coded.push(if at <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    coded
}

fn publish(site: &Site, exchange: &str, key: &str, headers: &Value, payload: &str) {
    let answer = broker(
        site,
        &format!("exchanges/%2F/{exchange}/publish"),
        &serde_json::json!({
            "properties": {"delivery_mode": 2, "headers": headers},
            "routing_key": key, "payload": payload, "payload_encoding": "string",
        }),
    );
    assert_eq!(answer["routed"], true, "{exchange} {key}");
}

/// How many messages wait in a queue.
fn waiting(site: &Site, queue: &str) -> u64 {
    let words = [
        "rabbitmqctl",
        "--quiet",
        "--no-table-headers",
        "list_queues",
        "name",
        "messages",
    ];
    let ran = site.exec("rabbitmq", &words);
    let line = ran
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{queue}\t")));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Takes what waits in a queue, for good.
fn take(site: &Site, queue: &str) -> Vec<String> {
    let body = serde_json::json!({
        "count": 50, "ackmode": "ack_requeue_false", "encoding": "auto",
    });
    let taken = broker(site, &format!("queues/%2F/{queue}/get"), &body);
    let all = taken.as_array().unwrap().iter();
    all.map(|one| one["payload"].as_str().unwrap().to_owned())
        .collect()
}

/// An agent that speaks AMQP says that it is there, so that tasks are offered on
/// the broker; it never takes one.
fn register_an_agent(site: &Site) {
    let script = "collective key create --quiet --label ada --agent ada --role worker --output /tmp/ada.key >&2 \
                  && cat /tmp/ada.key";
    let made = site.exec("server", &["sh", "-c", script]);
    assert_eq!(made.code, Some(0), "{}", made.text());
    let headers = serde_json::json!({"collective-key": made.stdout.trim()});
    publish(
        site,
        "agent.results",
        "registered",
        &headers,
        r#"{"agent":"ada","queues":["default"]}"#,
    );
}

/// Adds a task that nobody does.
fn leave(site: &Site, title: &str) {
    let added = site.exec("server", &["collective", "task", "add", title]);
    assert_eq!(added.code, Some(0), "{}", added.text());
}

fn tasks_like(site: &Site, title: &str) -> String {
    site.sql(&format!(
        "SELECT count(*) FROM task_specs WHERE spec LIKE '%{title}%'"
    ))
}

/// Tasks and events.
fn counted(site: &Site) -> String {
    site.sql("SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM events)")
}

fn redis(site: &Site, words: &str) -> String {
    let script = format!("redis-cli --no-auth-warning -a \"$1\" {words}");
    let password = site.variable("REDIS_PASSWORD");
    let ran = site.exec("redis", &["sh", "-c", &script, "sh", &password]);
    ran.stdout.trim().to_owned()
}

fn key(site: &Site, name: &str) -> String {
    let path = site.path(name);
    let mut make = Command::new("age-keygen");
    let made = make.arg("-o").arg(&path).stderr(Stdio::null()).status();
    assert!(
        made.unwrap().success(),
        "the package age has to be installed"
    );
    path.display().to_string()
}

/// Kills a restore as soon as its journal says this.
fn kill_at(site: &Site, words: &[&str], said: &str) {
    let mut child = site.start(words);
    let journal = site.path(".env.restoring");
    until(said, || {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before: {said}"
        );
        std::fs::read_to_string(&journal).is_ok_and(|text| text.contains(said))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(journal.exists());
}

/// A backup that is killed leaves nothing that counts, and nothing for long.
fn kill_a_backup(site: &Site, key: &str) {
    let mut child = site.start(&["backup", "--key", key]);
    let partial = || {
        let entries = std::fs::read_dir(site.path("backups"))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(".partial-")).count()
    };
    until("a backup is begun", || partial() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        site.must(&["backup", "list", "--json"]).json(),
        serde_json::json!([])
    );
    let refused = site.run(&[
        "restore", "--key", key, "--part", "redis", "--yes", "--json",
    ]);
    assert!(wrong(&refused).contains(&"backup_missing".to_owned()));
    site.must(&["backup", "--key", key, "--part", "redis"]);
    assert_eq!(partial(), 0);
    std::fs::remove_dir_all(site.path("backups")).unwrap();
}

/// Another folder of backups, with one byte of the base backup changed.
fn with_a_flipped_byte(site: &Site, name: &str) -> String {
    let folder = site.path("flipped");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(site.path("backups"))
        .arg(&folder)
        .status();
    assert!(copied.unwrap().success());
    flip(&folder.join(name).join("postgres/base.tar.gz.age"));
    folder.display().to_string()
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_a_backup_holds_comes_back_whatever_was_lost() {
    let Some(site) = Site::new("production") else {
        return;
    };
    let key_path = key(&site, "backup.key");
    let key = key_path.as_str();
    site.up();
    for number in 1..=5 {
        add(&site, &format!("done {number}"));
    }
    assert_eq!(redis(&site, "set kept in-redis"), "OK");

    // Messages that wait: offers that no agent takes, and a letter.
    site.kill("worker");
    register_an_agent(&site);
    until("the queue of offers is there", || {
        let ran = site.exec(
            "rabbitmq",
            &["rabbitmqctl", "--quiet", "list_queues", "name"],
        );
        ran.stdout.lines().any(|line| line == OFFERS)
    });
    for number in 1..=3 {
        leave(&site, &format!("offered {number}"));
    }
    until("the tasks are offered", || waiting(&site, OFFERS) >= 3);
    publish(&site, DEAD, "any", &serde_json::json!({}), LETTER);
    until("the letter is in its queue", || waiting(&site, DEAD) == 1);

    kill_a_backup(&site, key);
    // Agents that are gone may be noticed in between.
    let before_backup = counted(&site);
    let taken = site
        .timed("backup", &["backup", "--key", key, "--json"])
        .json();
    let name = taken["name"].as_str().unwrap().to_owned();
    let in_backup = [before_backup, counted(&site)];
    site.timed("backup verify", &["backup", "verify", "--key", key]);

    // Other passwords than those that the backup knows.
    site.must(&["rotate", "--yes"]);

    // A moment between two tasks.
    leave(&site, "before the moment");
    std::thread::sleep(Duration::from_millis(1_200));
    let moment =
        site.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
    leave(&site, "after the moment");
    let until_moment = [
        "restore", "--key", key, "--until", &moment, "--part", "postgres", "--yes",
    ];

    // A stack that runs is refused, and goes on.
    let refused = site.run(&["restore", "--key", key, "--yes", "--json"]);
    assert_eq!(wrong(&refused), ["restore_running"]);
    assert_eq!(tasks_like(&site, "after the moment"), "1");
    site.must(&["down"]);

    // What can't be opened, or was changed, changes nothing.
    let other = self::key(&site, "other.key");
    let refused = site.run(&["restore", "--key", &other, "--yes", "--json"]);
    assert_eq!(wrong(&refused), ["backup_key"; PARTS]);
    let refused = site.run(&["restore", "--yes", "--json"]);
    assert_eq!(wrong(&refused), ["backup_key"; PARTS]);
    let flipped = with_a_flipped_byte(&site, &name);
    let refused = site.run(&[
        "restore", "--from", &flipped, "--key", key, "--yes", "--json",
    ]);
    assert_eq!(wrong(&refused), ["backup_broken"]);
    let refused = site.run(&[
        "restore",
        "--key",
        key,
        "--until",
        "2020-01-01T00:00:00Z",
        "--yes",
        "--json",
    ]);
    assert_eq!(wrong(&refused), ["backup_missing"]);
    let rehearsed = site.must(&["restore", "--key", key, "--dry-run"]);
    assert!(
        rehearsed.stdout.contains("docker run --rm"),
        "{}",
        rehearsed.text()
    );
    assert!(!site.path(".env.restoring").exists());

    // To the moment: what came before is there, what came after is gone; and back.
    site.timed("restore of PostgreSQL to a moment", &until_moment);
    site.up_only(&["postgres"]);
    assert_eq!(tasks_like(&site, "before the moment"), "1");
    assert_eq!(tasks_like(&site, "after the moment"), "0");
    site.must(&["down"]);
    site.timed("undo of it", &["restore", "--undo", "--yes"]);
    site.up_only(&["postgres"]);
    assert_eq!(tasks_like(&site, "after the moment"), "1");
    let before = counted(&site);
    site.must(&["down"]);

    // All that was archived.
    let latest = [
        "restore", "--key", key, "--until", "latest", "--part", "postgres", "--yes",
    ];
    site.timed("restore of PostgreSQL to the latest", &latest);
    site.up_only(&["postgres"]);
    assert_eq!(counted(&site), before);
    site.must(&["down"]);

    // Killed while it makes things ready, then while it puts them in place: taken
    // back, and finished.
    let all = ["restore", "--key", key, "--part", "postgres,redis", "--yes"];
    kill_at(&site, &all, "{\"begun\"");
    kill_at(&site, &all, "\n{\"aside\"");
    let up = site.run(&["up", "--no-check"]);
    assert_eq!(up.code, Some(1), "{}", up.text());
    assert!(up.stderr.contains("unfinished"), "{}", up.text());
    let doctor = site.run(&["doctor", "--json"]);
    assert!(
        doctor.stdout.contains("restore_unfinished"),
        "{}",
        doctor.text()
    );
    site.must(&["restore", "--undo", "--yes"]);
    site.up_only(&["postgres"]);
    assert_eq!(counted(&site), before);
    site.must(&["down"]);
    kill_at(&site, &all, "\n{\"placed\"");
    let finished = site.timed(
        "finishing a restore that was killed",
        &["restore", "--yes", "--json"],
    );
    assert_eq!(finished.json()["source"], name.as_str());
    site.up_only(&["postgres"]);
    let there = counted(&site);
    assert!(
        in_backup.contains(&there),
        "{there} instead of {in_backup:?}"
    );

    // Everything is gone: containers, volumes, what was set aside.
    site.must(&["down", "--volumes", "--yes"]);
    for volume in site.volumes() {
        docker(&["volume", "rm", "--force", &volume]);
    }
    assert_eq!(site.volumes(), [""; 0]);
    let restored = site.timed(
        "restore of everything",
        &["restore", "--key", key, "--yes", "--json"],
    );
    let restored = restored.json();
    println!("{restored:#}");
    assert_eq!(restored["parts"].as_array().unwrap().len(), PARTS);
    assert_eq!(restored["aside"].as_array().unwrap().len(), 0);
    let left = site.volumes();
    assert!(
        left.iter().all(|volume| !volume.contains("-restored-")),
        "{left:?}"
    );

    // The data services alone, before a server makes anything anew.
    site.up_only(&["postgres", "redis", "rabbitmq"]);
    let there = counted(&site);
    assert!(
        in_backup.contains(&there),
        "{there} instead of {in_backup:?}"
    );
    assert_eq!(redis(&site, "get kept"), "in-redis");
    until("the offers are back", || waiting(&site, OFFERS) >= 3);
    until("the letter is back", || waiting(&site, DEAD) == 1);
    assert_eq!(take(&site, DEAD), [LETTER]);
    let offers = take(&site, OFFERS);
    for number in 1..=3 {
        let title = format!("offered {number}");
        assert!(
            offers.iter().any(|offer| offer.contains(&title)),
            "{title} in {offers:#?}"
        );
    }

    // And it does its work: the tasks that waited are done.
    site.up_only(&SERVICES);
    assert_proven(&site);
    until("the tasks that waited are done", || {
        site.sql(
            "SELECT count(*) FROM tasks JOIN task_specs USING (team, number) \
             WHERE spec LIKE '%offered %' AND state = 'succeeded'",
        ) == "3"
    });
    site.timed("a backup of what came back", &["backup", "--key", key]);
    site.timed("its proof", &["backup", "verify", "--key", key]);
}
