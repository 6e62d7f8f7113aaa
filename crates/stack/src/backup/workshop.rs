//! Throw-away containers and volumes: what is restored to be looked at, or to be
//! made ready before it takes the place of what is there. Nothing of it outlives
//! its work.

use std::cell::Cell;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::manifest::{Entry, Postgres, Rabbitmq};
use super::rabbitmq::format_of;
use super::vault::{Key, Opened};
use crate::call::Call;
use crate::compose::{docker, exec};
use crate::error::StackError;
use crate::runner::Runner;

/// How long one stream into a volume may take.
const STREAM_LIMIT: Duration = Duration::from_secs(4 * 3_600);
/// How long a server may take to recover and answer: a day of WAL takes minutes.
const START_LIMIT: Duration = Duration::from_secs(3_600);
/// How long a server may take to end: PostgreSQL writes all that it holds.
const STOP_SECONDS: &str = "300";
/// The same for the call around it.
const STOP_LIMIT: Duration = Duration::from_secs(330);
/// How often a server is asked.
const GLANCE: Duration = Duration::from_millis(500);
/// Last lines of a server that didn't start.
const LAST_LINES: &str = "12";
/// What everything here is marked with.
const LABEL: &str = "collective.stack=workshop";

/// Unpacks PostgreSQL's folder as its server wants it.
pub(super) const UNPACK_POSTGRES: &str =
    "set -eu; tar -xzf - -C /to; chown -R postgres:postgres /to; chmod 700 /to";
/// Unpacks RabbitMQ's folder as its server wants it.
const UNPACK_RABBITMQ: &str = "set -eu; tar -xzf - -C /to; chown -R rabbitmq:rabbitmq /to";
/// A cookie for a broker that nobody else talks to.
const COOKIE: &str = "set -eu; cd /var/lib/rabbitmq; umask 077; rm -f .erlang.cookie; \
                      head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \\n' > .erlang.cookie; \
                      chmod 400 .erlang.cookie; chown rabbitmq:rabbitmq . .erlang.cookie";

/// A PostgreSQL as it is called and questioned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster<'t> {
    /// The image that opens it.
    pub(super) image: &'t str,
    /// Its database.
    pub(super) database: &'t str,
    /// Its administrator.
    pub(super) user: &'t str,
}

impl<'t> From<&'t Postgres> for Cluster<'t> {
    fn from(taken: &'t Postgres) -> Self {
        Self {
            image: &taken.image,
            database: &taken.database,
            user: &taken.user,
        }
    }
}

/// What this process made, to be removed when it is dropped.
#[derive(Debug)]
pub(super) struct Workshop<'r> {
    runner: &'r Runner,
    folder: &'r Path,
    key: Option<&'r Key>,
    label: String,
    count: Cell<usize>,
    containers: Vec<String>,
    volumes: Vec<String>,
}

impl<'r> Workshop<'r> {
    /// An empty one, for the backup in `folder`.
    pub(super) fn new(runner: &'r Runner, folder: &'r Path, key: Option<&'r Key>) -> Self {
        Self {
            runner,
            folder,
            key,
            label: LABEL.to_owned(),
            count: Cell::new(0),
            containers: Vec::new(),
            volumes: Vec::new(),
        }
    }

    /// Marks what it makes with a label of its own, by which whoever comes after
    /// one that was killed finds it.
    pub(super) fn marked(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    fn name(&self, what: &str) -> String {
        let count = self.count.get();
        self.count.set(count + 1);
        format!("collective-workshop-{}-{count}-{what}", std::process::id())
    }

    /// A new volume.
    pub(super) fn volume(&mut self, what: &str) -> Result<String, StackError> {
        let name = self.name(what);
        self.runner
            .ask(&docker(["volume", "create", "--label", &self.label, &name]))?;
        self.volumes.push(name.clone());
        Ok(name)
    }

    /// Gives a file of the backup to a script, with a volume at `/to`.
    pub(super) fn unpack(
        &self,
        entry: &Entry,
        volume: &str,
        image: &str,
        script: &str,
    ) -> Result<String, StackError> {
        self.unpack_from(self.folder, entry, volume, image, script)
    }

    /// The same with a file of another backup.
    pub(super) fn unpack_from(
        &self,
        folder: &Path,
        entry: &Entry,
        volume: &str,
        image: &str,
        script: &str,
    ) -> Result<String, StackError> {
        let mut opened = Opened::open(folder, entry, self.key)?;
        let mount = format!("{volume}:/to");
        let call = docker([
            "run",
            "--rm",
            "--interactive",
            "--label",
            &self.label,
            "--network",
            "none",
        ])
        .args(["--user", "0", "--volume", &mount, "--entrypoint", "sh"])
        .args([image, "-c", script])
        .limit(STREAM_LIMIT);
        self.runner
            .feed(&call, &mut opened as &mut (dyn Read + Send))
    }

    /// Runs a script to its end, as root, with volumes.
    pub(super) fn script(
        &self,
        image: &str,
        mounts: &[String],
        script: &str,
    ) -> Result<String, StackError> {
        let mut call = docker([
            "run",
            "--rm",
            "--label",
            &self.label,
            "--network",
            "none",
            "--user",
            "0",
        ]);
        for mount in mounts {
            call = call.args(["--volume", mount]);
        }
        let call = call
            .args(["--entrypoint", "sh", image, "-c", script])
            .limit(STREAM_LIMIT);
        self.runner.ask(&call)
    }

    /// Starts a server that nobody outside can reach.
    fn start(&mut self, what: &str, args: &[&str]) -> Result<String, StackError> {
        let name = self.name(what);
        let call = docker(["run", "--detach", "--label", &self.label, "--name", &name]);
        self.containers.push(name.clone());
        self.runner.ask(&call.args(args.iter().copied()))?;
        Ok(name)
    }

    /// Waits until a server gives a good answer.
    fn wait(&self, container: &str, question: &Call) -> Result<(), StackError> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if self.runner.look(question)?.is_good() {
                return Ok(());
            }
            let state = docker(["inspect", "--format", "{{.State.Running}}", container]);
            let runs = self.runner.ask(&state)?.trim() == "true";
            if !runs || Instant::now() > deadline {
                let logs = docker(["logs", "--tail", LAST_LINES, container]);
                return Err(StackError::wrong_state(
                    format!(
                        "the restored server doesn't start: {}",
                        self.runner.look(&logs)?.said()
                    ),
                    "take another backup",
                ));
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// PostgreSQL's folder from the base backup.
    pub(super) fn postgres_folder(&mut self, taken: &Postgres) -> Result<String, StackError> {
        let volume = self.volume("postgres")?;
        self.unpack(&taken.base, &volume, &taken.image, UNPACK_POSTGRES)?;
        Ok(volume)
    }

    /// A PostgreSQL on a volume, ready for questions. `settings` are for its
    /// recovery, `mounts` for where WAL comes from.
    pub(super) fn postgres(
        &mut self,
        cluster: Cluster<'_>,
        volume: &str,
        mounts: &[String],
        settings: &[String],
    ) -> Result<String, StackError> {
        let mut options = vec![
            // Without a network this is the container itself: passwords are tried there.
            "listen_addresses=127.0.0.1".to_owned(),
            "hba_file=/tmp/pg_hba.conf".to_owned(),
            "unix_socket_directories=/tmp".to_owned(),
            "shared_preload_libraries=".to_owned(),
            "ssl=off".to_owned(),
            "hot_standby=off".to_owned(),
            "lc_messages=C".to_owned(),
        ];
        options.extend(settings.iter().cloned());
        let script = "printf '%s\\n' 'local all all trust' \
                      'host all all 127.0.0.1/32 scram-sha-256' > /tmp/pg_hba.conf; \
                      exec postgres -D /data \"$@\"";
        let data = format!("{volume}:/data");
        let mut args = vec!["--network", "none", "--user", "postgres", "--volume", &data];
        for mount in mounts {
            args.extend(["--volume", mount]);
        }
        args.extend(["--entrypoint", "sh", cluster.image, "-c", script, "sh"]);
        for option in &options {
            args.extend(["-c", option]);
        }
        let name = self.start("postgres-server", &args)?;
        let question = psql(&name, cluster, cluster.database, "SELECT 1;");
        self.wait(&name, &question)?;
        Ok(name)
    }

    /// Asks that PostgreSQL.
    pub(super) fn query(
        &self,
        container: &str,
        cluster: Cluster<'_>,
        database: &str,
        sql: &str,
    ) -> Result<String, StackError> {
        let answer = self
            .runner
            .ask(&psql(container, cluster, database, sql).limit(START_LIMIT))?;
        Ok(answer.trim().to_owned())
    }

    /// Gives the dump to a database of that PostgreSQL.
    pub(super) fn restore_dump(
        &self,
        container: &str,
        taken: &Postgres,
        database: &str,
    ) -> Result<(), StackError> {
        let mut dump = Opened::open(self.folder, &taken.dump, self.key)?;
        let call = exec(
            container,
            None,
            ["pg_restore", "--exit-on-error", "-h", "/tmp", "-w"],
        )
        .args(["-U", &taken.user, "-d", database])
        .limit(STREAM_LIMIT);
        self.runner.feed(&call, &mut dump).map(drop)
    }

    /// A Redis on a volume with a snapshot.
    pub(super) fn redis(&mut self, image: &str, volume: &str) -> Result<String, StackError> {
        let data = format!("{volume}:/data");
        let name = self.start(
            "redis-server",
            &[
                "--network",
                "none",
                "--volume",
                &data,
                "--entrypoint",
                "redis-server",
                image,
                "--dir",
                "/data",
                "--appendonly",
                "no",
                "--save",
                "",
                "--bind",
                "127.0.0.1",
            ],
        )?;
        // While it loads it answers, and says so.
        let script = "redis-cli ping | grep -q PONG";
        self.wait(&name, &exec(&name, None, ["sh", "-c", script]))?;
        Ok(name)
    }

    /// RabbitMQ's folder as it was, or a new one with its definitions; and a
    /// broker on it.
    pub(super) fn rabbitmq(
        &mut self,
        taken: &Rabbitmq,
        volume: &str,
    ) -> Result<String, StackError> {
        if let Some(data) = &taken.data {
            self.unpack(data, volume, &taken.image, UNPACK_RABBITMQ)?;
        }
        let mount = format!("{volume}:/var/lib/rabbitmq");
        // Whoever comes first makes it: a question of ours would make it root's.
        self.script(&taken.image, std::slice::from_ref(&mount), COOKIE)?;
        let itself = format!("{}:127.0.0.1", taken.hostname);
        let name = self.start(
            "rabbitmq-server",
            &[
                "--network",
                "none",
                "--hostname",
                &taken.hostname,
                "--add-host",
                &itself,
                "--volume",
                &mount,
                &taken.image,
            ],
        )?;
        self.wait(
            &name,
            &exec(
                &name,
                None,
                ["rabbitmqctl", "--quiet", "await_startup", "--timeout", "5"],
            ),
        )?;
        if taken.data.is_none() {
            let mut definitions = Opened::open(self.folder, &taken.definitions, self.key)?;
            let import = "cat > /tmp/definitions; chmod 644 /tmp/definitions; \
                          rabbitmqctl --quiet import_definitions /tmp/definitions --format \"$1\"";
            let format = format_of(&taken.definitions);
            let call = exec(&name, None, ["sh", "-c", import, "sh", format]);
            self.runner.feed(&call, &mut definitions)?;
        }
        Ok(name)
    }

    /// Has a server end in order, so that its volume is whole, and removes it.
    pub(super) fn stop(&mut self, container: &str) -> Result<(), StackError> {
        let call = docker(["stop", "-t", STOP_SECONDS, container]).limit(STOP_LIMIT);
        self.runner.ask(&call)?;
        self.remove(container)
    }

    /// Removes a server, whatever it does.
    pub(super) fn remove(&mut self, container: &str) -> Result<(), StackError> {
        self.runner
            .ask(&docker(["rm", "--force", "--volumes", container]))?;
        self.containers.retain(|name| name != container);
        Ok(())
    }

    /// Removes every server that runs here.
    pub(super) fn clear(&mut self) -> Result<(), StackError> {
        for container in self.containers.clone() {
            self.remove(&container)?;
        }
        Ok(())
    }
}

fn psql(container: &str, cluster: Cluster<'_>, database: &str, sql: &str) -> Call {
    exec(
        container,
        None,
        [
            "psql",
            "-X",
            "-q",
            "-A",
            "-t",
            "-w",
            "-h",
            "/tmp",
            "-v",
            "ON_ERROR_STOP=1",
        ],
    )
    .args(["-U", cluster.user, "-d", database, "-f", "-"])
    .input(sql)
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        for container in &self.containers {
            self.runner
                .restore(&docker(["rm", "--force", "--volumes", container]));
        }
        for volume in &self.volumes {
            self.runner
                .restore(&docker(["volume", "rm", "--force", volume]));
        }
    }
}
