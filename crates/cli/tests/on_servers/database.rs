//! Faults of PostgreSQL. Without it nothing is acknowledged, and everything
//! that is refused is refused with the same code; once it is back, whatever was
//! acknowledged is there.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cluster::{Cluster, DATABASE, until};
use crate::load::{Load, assert_only};

/// What is refused while the store is away.
const UNAVAILABLE: &str = "503 unavailable";

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_postgresql() {
    let mut cluster = Cluster::start().await;
    postgresql_is_down(&mut cluster).await;
    postgresql_is_restarted(&mut cluster).await;
    postgresql_hangs(&mut cluster).await;
    postgresql_has_no_connection_left(&mut cluster).await;
    the_clocks_differ(&mut cluster).await;
    postgresql_is_full(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_of_postgresql() {
    let mut cluster = Cluster::with_standby().await;
    postgresql_fails_over_to_its_standby(&mut cluster).await;
}

async fn postgresql_is_down(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_is_down").await;
    cluster.parts.postgres.kill();
    load.is_refused(UNAVAILABLE).await;
    assert!(
        !cluster.names("store", "PostgreSQL").await,
        "it isn't ready"
    );
    cluster.parts.postgres.restart().unwrap();
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
}

async fn postgresql_is_restarted(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_is_restarted").await;
    // In order: it ends what is under way, and is back in a second.
    cluster.parts.postgres.restart().unwrap();
    load.completes(20).await;
    assert_only(&load.refusals(), UNAVAILABLE);
    load.finish().await;
    cluster.converges().await;
}

async fn postgresql_hangs(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_hangs").await;
    signal_all(cluster, Signal::STOP);
    assert!(!cluster.names("store", "no answer").await, "it isn't ready");
    signal_all(cluster, Signal::CONT);
    load.completes(20).await;
    assert_only(&load.refusals(), UNAVAILABLE);
    load.finish().await;
    cluster.converges().await;
}

/// Signals PostgreSQL and all that it has started; each has a group of its own.
fn signal_all(cluster: &Cluster, signal: Signal) {
    let note = cluster.parts.postgres.home().join("data/postmaster.pid");
    let note = std::fs::read_to_string(note).unwrap();
    let postmaster: i32 = note.lines().next().unwrap().trim().parse().unwrap();
    let of_it = |process: &std::fs::DirEntry| {
        let pid: i32 = process.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(process.path().join("stat")).ok()?;
        // The parent is the second field after the name, which is in brackets.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?;
        (pid == postmaster || parent == postmaster.to_string()).then_some(pid)
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    for pid in processes.filter_map(|process| of_it(&process)) {
        // One that has ended meanwhile needs no signal.
        let _gone = kill_process(Pid::from_raw(pid).unwrap(), signal);
    }
}

async fn postgresql_has_no_connection_left(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_has_no_connection_left").await;
    let crowd = Crowd::gather(cluster);
    // The replicas' connections break, and others take their places.
    // What isn't logged in yet may hold the administrator's places for a moment.
    until("others have every place", async || {
        let ended = cluster.parts.postgres.sql(DATABASE, &end_sessions());
        ended.is_ok() && crowd.is_complete()
    })
    .await;
    load.is_refused(UNAVAILABLE).await;
    assert!(
        !cluster.names("store", "max_connections").await,
        "it isn't ready"
    );
    crowd.disperse();
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
}

/// Connections that take every place but those kept for the administrator.
struct Crowd {
    over: Arc<AtomicBool>,
    there: Arc<AtomicUsize>,
    many: usize,
    gathering: JoinHandle<()>,
}

impl Crowd {
    fn gather(cluster: &Cluster) -> Self {
        let bound = |setting: &str| -> usize {
            cluster
                .sql(&format!("SHOW {setting}"))
                .trim()
                .parse()
                .unwrap()
        };
        let many = bound("max_connections") - bound("superuser_reserved_connections");
        let port = cluster.parts.postgres.port();
        let over = Arc::new(AtomicBool::new(false));
        let there = Arc::new(AtomicUsize::new(0));
        let gathering = std::thread::spawn({
            let (over, there) = (Arc::clone(&over), Arc::clone(&there));
            move || {
                let mut crowd = Vec::new();
                while !over.load(Ordering::SeqCst) {
                    match (crowd.len() < many).then(|| half_open(port)).flatten() {
                        Some(stream) => crowd.push(stream),
                        None => std::thread::sleep(Duration::from_millis(2)),
                    }
                    there.store(crowd.len(), Ordering::SeqCst);
                }
            }
        });
        Self {
            over,
            there,
            many,
            gathering,
        }
    }

    fn is_complete(&self) -> bool {
        self.there.load(Ordering::SeqCst) == self.many
    }

    fn disperse(self) {
        self.over.store(true, Ordering::SeqCst);
        self.gathering.join().unwrap();
    }
}

/// A connection that has its place and is asked for its password.
fn half_open(port: u16) -> Option<TcpStream> {
    /// Version 3.0 of the protocol.
    const VERSION: u32 = 196_608;
    let mut body = VERSION.to_be_bytes().to_vec();
    for word in ["user", DATABASE, "database", DATABASE, ""] {
        body.extend(word.as_bytes());
        body.push(0);
    }
    let length = u32::try_from(body.len() + 4).unwrap();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    stream
        .write_all(&[&length.to_be_bytes(), &body[..]].concat())
        .ok()?;
    let mut kind = [0];
    stream.read_exact(&mut kind).ok()?;
    (kind == *b"R").then_some(stream)
}

/// PostgreSQL's clock as sessions read it: an hour ahead, or its own again.
const AHEAD: &str = "
    SET allow_system_table_mods = on;
    ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO true_clock;
    CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql
        AS $$ SELECT pg_catalog.true_clock() + interval '1 hour' $$";
const ITS_OWN: &str = "
    SET allow_system_table_mods = on;
    DROP FUNCTION pg_catalog.clock_timestamp();
    ALTER FUNCTION pg_catalog.true_clock() RENAME TO clock_timestamp";

async fn the_clocks_differ(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "the_clocks_differ").await;
    let set = |clock: &str| {
        cluster.sql(clock);
        // Sessions keep the function that they have found.
        cluster.sql(&end_sessions());
    };
    set(AHEAD);
    let ready = cluster.names("clock", "3600.0 s behind the store's").await;
    assert!(ready, "it is still ready");
    assert_only(&load.refusals(), UNAVAILABLE);
    load.completes(20).await;
    assert!(load.refusals().is_empty());
    set(ITS_OWN);
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
}

async fn postgresql_is_full(cluster: &mut Cluster) {
    let Some(disk) = SmallDisk::mount(cluster) else {
        eprintln!("skipped: no small disk can be mounted here");
        return;
    };
    let place = disk.folder.display();
    cluster.sql(&format!("CREATE TABLESPACE small LOCATION '{place}'"));
    // Whatever is accepted writes its events there.
    cluster.sql("ALTER TABLE events SET TABLESPACE small");
    let mut load = Load::start(cluster, "postgresql_is_full").await;
    cluster.sql("CREATE TABLE ballast (bytes text) TABLESPACE small");
    let fill = "INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 1000000)";
    let full = cluster.parts.postgres.sql(DATABASE, fill).unwrap_err();
    let full = format!("{full:#}");
    assert!(full.contains("No space left on device"), "{full}");
    load.is_refused("507 storage_full").await;
    assert!(cluster.readiness(0).await.ready, "it isn't ready");
    cluster.sql("DROP TABLE ballast");
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
    cluster.sql("ALTER TABLE events SET TABLESPACE pg_default");
    cluster.sql("DROP TABLESPACE small");
}

/// A disk of its own in PostgreSQL's folder, gone with this.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Nothing where mounting isn't allowed.
    fn mount(cluster: &Cluster) -> Option<Self> {
        let home = cluster.parts.postgres.home();
        let owner = std::fs::metadata(home).unwrap();
        let folder = home.join("small");
        std::fs::create_dir(&folder).unwrap();
        let options = format!("size=16m,mode=0700,uid={},gid={}", owner.uid(), owner.gid());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "small"]);
        let mounted = mount.arg(&folder).stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { folder })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A server that a failed test leaves behind may still use it.
        let mut unmount = Command::new("umount");
        let _ended = unmount.arg("--lazy").arg(&self.folder).status();
    }
}

/// Ends every session of the replicas.
fn end_sessions() -> String {
    format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{DATABASE}'")
}

async fn postgresql_fails_over_to_its_standby(cluster: &mut Cluster) {
    let mut load = Load::start(cluster, "postgresql_fails_over_to_its_standby").await;
    cluster.parts.postgres.kill();
    load.is_refused(UNAVAILABLE).await;
    assert!(!cluster.names("store", "read only").await, "it isn't ready");
    cluster.standby.as_ref().unwrap().promote().unwrap();
    load.completes(20).await;
    load.finish().await;
    cluster.converges().await;
}
