//! The cache on a real Redis keeps every promise of the port, and what happens
//! when the server is not as it should be.

#![expect(clippy::unwrap_used, reason = "a test that can't go on must fail")]

use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use collective_cache::redis::{Password, TlsOptions};
use collective_cache::{RedisCache, RedisOptions};
use collective_core::ports::{Cache, CacheError, Permit, RateLimit};
use collective_core::{Span, Timestamp};
use collective_testkit::servers::{self, Redis, RedisTls};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

const MINUTE: Span = Span::from_secs(60);
const TWO: RateLimit = RateLimit {
    burst: 2,
    period: MINUTE,
};
/// More than any single call may take, on a machine that does other things as well.
const BOUND: Duration = Duration::from_secs(4);
/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

fn options(server: &Redis, prefix: &str) -> RedisOptions {
    RedisOptions {
        host: "127.0.0.1".to_owned(),
        port: server.port(),
        password: Some(Password::new(server.password())),
        prefix: prefix.to_owned(),
        ..RedisOptions::default()
    }
}

fn cache(server: &Redis, prefix: &str) -> RedisCache {
    RedisCache::new(&options(server, prefix)).unwrap()
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Timestamp::from_micros(0) + Span::from_micros(u64::try_from(since_epoch.as_micros()).unwrap())
}

/// Asks until the cache works, within the patience.
async fn recovered(cache: &RedisCache) {
    let start = Instant::now();
    while let Err(error) = cache.health().await {
        assert!(start.elapsed() < PATIENCE, "it didn't come back: {error}");
        tokio::task::yield_now().await;
    }
}

/// Asks until the answer is a failure that says `what`, within the patience.
async fn complains(cache: &RedisCache, what: &str) {
    let start = Instant::now();
    loop {
        let said = match cache.health().await {
            Err(CacheError::Unavailable(said)) => said,
            other => format!("{other:?}"),
        };
        if said.contains(what) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "instead of `{what}`: {said}");
        tokio::task::yield_now().await;
    }
}

fn text(result: Result<(), CacheError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_promise_of_the_port_is_kept() {
    let server = Redis::start().unwrap();
    for (name, case) in collective_testkit::cache_conformance!(table) {
        let cache = cache(&server, &format!("{name}:"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let run = runtime.block_on(async { tokio::spawn(async move { case(&cache).await }).await });
        assert!(run.is_ok(), "{name} failed: {run:?}");
    }
}

#[tokio::test]
async fn every_key_is_below_the_prefix_and_ends() {
    let server = Redis::start().unwrap();
    let cache = cache(&server, "mine:");
    cache.put("presence", b"x", MINUTE, now()).await.unwrap();
    cache.take("bucket", TWO, now()).await.unwrap();
    cache.health().await.unwrap();
    let mut raw = raw(&server).await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(keys.len(), 3, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("mine:"), "{key}");
        let left: i64 = redis::cmd("PTTL")
            .arg(&key)
            .query_async(&mut raw)
            .await
            .unwrap();
        assert!((1..=300_000).contains(&left), "{key} lives for {left} ms");
    }
}

#[tokio::test]
async fn two_replicas_share_a_bucket_and_what_they_know() {
    let server = Redis::start().unwrap();
    let (one, other) = (cache(&server, "shared:"), cache(&server, "shared:"));
    let stranger = cache(&server, "else:");
    let at = now();
    assert_eq!(one.take("key", TWO, at).await, Ok(Permit::Granted));
    assert_eq!(other.take("key", TWO, at).await, Ok(Permit::Granted));
    let denied = Ok(Permit::Denied {
        retry_after: MINUTE,
    });
    assert_eq!(one.take("key", TWO, at).await, denied);
    assert_eq!(other.take("key", TWO, at).await, denied);
    assert_eq!(stranger.take("key", TWO, at).await, Ok(Permit::Granted));
    one.put("seen", b"now", MINUTE, at).await.unwrap();
    assert_eq!(other.get("seen", at).await, Ok(Some(b"now".to_vec())));
    assert_eq!(stranger.get("seen", at).await, Ok(None));
}

/// A step of a bucket's life: how the clock moves, and the limit asked with.
fn steps() -> impl Strategy<Value = Vec<(i64, u32, u64)>> {
    let period = prop_oneof![Just(0), 0u64..10_000_000, 1u64..3_600_000_000];
    let step = prop_oneof![8 => 0i64..90_000_000, 1 => -30_000_000i64..0, 1 => Just(0)];
    prop::collection::vec((step, 0u32..20, period), 1..40)
}

#[test]
fn the_script_gives_the_same_permits_as_the_rule() {
    let server = Redis::start().unwrap();
    let cache = cache(&server, "property:");
    let runtime = Runtime::new().unwrap();
    let start = now();
    let serial = Cell::new(0);
    let mut runner = TestRunner::new(Config::with_cases(150));
    runner
        .run(&steps(), |steps| {
            serial.set(serial.get() + 1);
            let bucket = format!("bucket{}", serial.get());
            let (mut at, mut arrival) = (start, None);
            // One bucket is asked with limits that stay the same or change.
            for (step, burst, micros) in steps {
                at = Timestamp::from_micros(at.micros() + step);
                let period = Span::from_micros(micros);
                let limit = RateLimit { burst, period };
                let (permit, next) = limit.take(arrival, at);
                let given = runtime.block_on(cache.take(&bucket, limit, at)).unwrap();
                prop_assert_eq!(given, permit, "at {} with {:?}", at, limit);
                arrival = Some(next);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn a_killed_server_fails_every_call_fast_and_is_used_again_when_it_is_back() {
    let mut server = Redis::start().unwrap();
    let cache = cache(&server, "kill:");
    cache.put("key", b"1", MINUTE, now()).await.unwrap();
    assert!(cache.state().connected);
    server.kill();
    for round in 0..50 {
        let asked = Instant::now();
        let answers = (
            cache.get("key", now()).await.err(),
            cache.put("key", b"2", MINUTE, now()).await.err(),
            cache.take("bucket", TWO, now()).await.err(),
        );
        assert!(
            asked.elapsed() < BOUND,
            "{round}: took {:?}",
            asked.elapsed()
        );
        let unavailable =
            |error: &Option<CacheError>| matches!(error, Some(CacheError::Unavailable(_)));
        assert!(unavailable(&answers.0) && unavailable(&answers.1) && unavailable(&answers.2));
    }
    complains(&cache, "nothing listens at 127.0.0.1").await;
    let state = cache.state();
    assert!(!state.connected && state.failures >= 150, "{state:?}");
    assert!(
        state.reason.unwrap().contains("nothing listens"),
        "the state says why"
    );

    server.restart().unwrap();
    recovered(&cache).await;
    assert_eq!(cache.get("key", now()).await, Ok(None));
    assert_eq!(
        cache.take("bucket", TWO, now()).await,
        Ok(Permit::Granted),
        "the new server learns the script"
    );
    assert!(cache.state().connected && cache.state().reason.is_none());
}

#[tokio::test]
async fn the_call_that_finds_a_dead_connection_succeeds_on_a_new_one() {
    let server = Redis::start().unwrap();
    let cache = cache(&server, "cut:");
    cache.put("key", b"1", MINUTE, now()).await.unwrap();
    let mut raw = raw(&server).await;
    for _ in 0..5 {
        let _: i64 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "normal"])
            .query_async(&mut raw)
            .await
            .unwrap();
        let asks = (0..20).map(|_| cache.get("key", now()));
        for answer in futures_util::future::join_all(asks).await {
            assert_eq!(answer, Ok(Some(b"1".to_vec())));
        }
    }
    assert_eq!(cache.state().failures, 0);
    assert_eq!(
        cache.state().connections,
        6,
        "all callers share one new connection"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_at_the_start_is_found_later() {
    let mut server = Redis::start().unwrap();
    server.kill();
    let cache = cache(&server, "late:");
    assert!(text(cache.health().await).contains("nothing listens"));
    server.restart().unwrap();
    recovered(&cache).await;
}

#[tokio::test]
async fn a_server_that_is_emptied_only_forgets() {
    let server = Redis::start().unwrap();
    let cache = cache(&server, "flush:");
    let at = now();
    cache.put("key", b"1", MINUTE, at).await.unwrap();
    cache.take("bucket", TWO, at).await.unwrap();
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("FLUSHALL").query_async(&mut raw).await.unwrap();
    let _: () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(cache.get("key", at).await, Ok(None));
    for expected in [true, true, false] {
        let permit = cache.take("bucket", TWO, at).await.unwrap();
        assert_eq!(permit == Permit::Granted, expected);
    }
    assert_eq!(cache.state().failures, 0);
}

#[tokio::test]
async fn a_silent_server_costs_each_call_no_more_than_its_bound() {
    let server = Redis::start().unwrap();
    let cache = cache(&server, "silent:");
    cache.health().await.unwrap();
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("CLIENT")
        .arg(&["PAUSE", "4000", "ALL"])
        .query_async(&mut raw)
        .await
        .unwrap();
    let asked = Instant::now();
    let asks = (0..100).map(|_| cache.get("key", now()));
    for answer in futures_util::future::join_all(asks).await {
        assert!(answer.unwrap_err().to_string().contains("no answer within"));
    }
    assert!(asked.elapsed() < BOUND, "took {:?}", asked.elapsed());
    // From then on nobody waits but the one that tries.
    let asked = Instant::now();
    for _ in 0..1_000 {
        assert!(cache.get("key", now()).await.is_err());
    }
    assert!(asked.elapsed() < BOUND, "took {:?}", asked.elapsed());
    recovered(&cache).await;
}

#[tokio::test]
async fn a_full_server_is_named_and_works_again_with_room() {
    let server = with_settings(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let cache = cache(&server, "full:");
    let value = vec![7; 64 * 1024];
    cache.put("first", &value, MINUTE, now()).await.unwrap();
    // Ever smaller, so that nothing has room any more in the end.
    let mut refusal = None;
    let mut keys = 0;
    for size in [64 * 1024, 4 * 1024, 1] {
        while keys < 100_000 {
            keys += 1;
            let key = format!("key{keys}");
            if let Err(error) = cache.put(&key, &value[..size], MINUTE, now()).await {
                refusal = Some(error.to_string());
                break;
            }
        }
    }
    let refusal = refusal.unwrap();
    assert!(
        refusal.contains("OOM") && refusal.contains("maxmemory"),
        "{refusal}"
    );
    let bucket = cache.take("bucket", TWO, now()).await.unwrap_err();
    assert!(bucket.to_string().contains("OOM"), "{bucket}");
    assert!(text(cache.health().await).contains("OOM"));
    assert_eq!(
        cache.get("first", now()).await,
        Ok(Some(value)),
        "what is kept can still be read"
    );
    for i in 1..=20 {
        cache.remove(&format!("key{i}")).await.unwrap();
    }
    recovered(&cache).await;
}

#[tokio::test]
async fn a_wrong_or_missing_login_is_named_without_the_password() {
    let server = Redis::start().unwrap();
    let mut options = options(&server, "login:");
    options.password = Some(Password::new("hunter2"));
    let wrong = RedisCache::new(&options).unwrap();
    let said = text(wrong.health().await);
    assert!(said.contains("WRONGPASS"), "{said}");
    assert!(!format!("{wrong:?} {options:?} {said}").contains("hunter2"));

    options.password = None;
    let without = RedisCache::new(&options).unwrap();
    let said = text(without.health().await);
    assert!(said.contains("NOAUTH"), "{said}");

    options.user = Some("nobody".to_owned());
    options.password = Some(Password::new("hunter2"));
    let stranger = RedisCache::new(&options).unwrap();
    assert!(text(stranger.health().await).contains("WRONGPASS"));

    // Once the server takes the password, the same cache gets in.
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", "hunter2"])
        .query_async(&mut raw)
        .await
        .unwrap();
    recovered(&wrong).await;
}

#[tokio::test]
async fn a_user_who_may_not_do_it_is_told_what_is_needed() {
    let server = Redis::start().unwrap();
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("ACL")
        .arg(&["SETUSER", "reader", "on", ">pw", "~*", "+get", "+client"])
        .query_async(&mut raw)
        .await
        .unwrap();
    let mut options = options(&server, "acl:");
    options.user = Some("reader".to_owned());
    options.password = Some(Password::new("pw"));
    let cache = RedisCache::new(&options).unwrap();
    assert_eq!(cache.get("key", now()).await, Ok(None));
    let said = text(cache.health().await);
    assert!(
        said.contains("NOPERM") && said.contains("EVALSHA"),
        "{said}"
    );
}

#[tokio::test]
async fn a_replica_is_named_and_used_once_it_is_the_primary() {
    let server = with_settings(&["--replicaof", "127.0.0.1", "1"]);
    let cache = cache(&server, "replica:");
    complains(&cache, "read-only replica (READONLY)").await;
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("REPLICAOF")
        .arg(&["NO", "ONE"])
        .query_async(&mut raw)
        .await
        .unwrap();
    recovered(&cache).await;
}

#[tokio::test]
async fn a_server_that_is_loading_says_so_and_serves_afterwards() {
    let mut server = Redis::start().unwrap();
    let cache = cache(&server, "loading:");
    let value = vec![7; 1024];
    for i in 0..200 {
        cache
            .put(&format!("key{i}"), &value, MINUTE.times(10), now())
            .await
            .unwrap();
    }
    let mut raw = raw(&server).await;
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "rdbcompression", "no"])
        .query_async(&mut raw)
        .await
        .unwrap();
    let _: () = redis::cmd("SAVE").query_async(&mut raw).await.unwrap();
    server.kill();
    // Ten milliseconds for each of the keys, and a look at the callers in between.
    let slow = ["--key-load-delay", "10000"];
    server.set_settings(
        slow.into_iter()
            .chain(["--loading-process-events-interval-bytes", "1024"]),
    );
    server.restart().unwrap();
    complains(&cache, "still loading its data (LOADING)").await;
    recovered(&cache).await;
    assert_eq!(cache.get("key7", now()).await, Ok(Some(value)));
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_checked() {
    let home = tempfile::tempdir().unwrap();
    let tls = certificate(home.path(), "2");
    let server = Redis::start_with(servers::RedisOptions {
        tls: Some(tls),
        ..servers::RedisOptions::default()
    })
    .unwrap();
    let mut options = options(&server, "tls:");
    let ca_file = home.path().join("ca.pem");
    options.tls = Some(TlsOptions {
        ca_file: Some(ca_file.clone()),
    });
    RedisCache::new(&options).unwrap().health().await.unwrap();

    options.tls = Some(TlsOptions::default());
    let said = text(RedisCache::new(&options).unwrap().health().await);
    assert!(said.contains("certificate"), "{said}");

    options.tls = None;
    let said = text(RedisCache::new(&options).unwrap().health().await);
    assert!(said.contains("is TLS on at one end only"), "{said}");

    for (file, content, expected) in [
        ("missing.pem", None, "can't be read"),
        (
            "wrong.pem",
            Some("no certificate"),
            "no usable certificates",
        ),
    ] {
        let path = home.path().join(file);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        options.tls = Some(TlsOptions {
            ca_file: Some(path),
        });
        let said = RedisCache::new(&options).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_told_as_that() {
    let home = tempfile::tempdir().unwrap();
    let server = Redis::start_with(servers::RedisOptions {
        tls: Some(certificate(home.path(), "0")),
        ..servers::RedisOptions::default()
    })
    .unwrap();
    let mut options = options(&server, "expired:");
    options.tls = Some(TlsOptions {
        ca_file: Some(home.path().join("ca.pem")),
    });
    let start = Instant::now();
    // Its end is the second of its beginning, which may still be.
    let said = loop {
        match RedisCache::new(&options).unwrap().health().await {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(start.elapsed() < PATIENCE, "it is accepted"),
        }
    };
    for words in ["certificate of Redis", "expired"] {
        assert!(said.contains(words), "{said}");
    }
}

fn with_settings(settings: &[&str]) -> Redis {
    Redis::start_with(servers::RedisOptions {
        settings: settings.iter().map(|text| (*text).to_owned()).collect(),
        ..servers::RedisOptions::default()
    })
    .unwrap()
}

/// A connection of the test's own.
async fn raw(server: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// A CA of its own (`ca.pem`), and a certificate by it for 127.0.0.1 and this
/// many days.
fn certificate(home: &Path, days: &str) -> RedisTls {
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl")
            .current_dir(home)
            .args(arguments)
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    std::fs::write(
        home.join("san"),
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    openssl(
        &[
            &["req", "-x509", "-subj", "/CN=test CA", "-days", "2"],
            &key[..],
            &["-keyout", "ca.key", "-out", "ca.pem"],
        ]
        .concat(),
    );
    openssl(
        &[
            &["req", "-subj", "/CN=127.0.0.1"],
            &key[..],
            &["-keyout", "server.key", "-out", "server.csr"],
        ]
        .concat(),
    );
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        days,
        "-extfile",
        "san",
        "-out",
        "server.pem",
    ]);
    RedisTls {
        certificate: home.join("server.pem"),
        key: home.join("server.key"),
    }
}
