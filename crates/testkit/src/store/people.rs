//! Teams, agents, queues, keys, and the answers that callers were given.

use collective_core::agent::{AgentSpec, Transport};
use collective_core::ports::Store;
use collective_core::ports::store::Remembered;
use collective_core::role::Role;

use super::sample::{self, agent_name, at, key_id, queue_name, team};
use super::{default_team, done, reader};

/// The second one to create a team is told that it was there.
pub async fn a_team_is_created_once(store: &dyn Store) {
    assert_eq!(reader(store).await.teams().await, Ok(vec![]));
    let (created, _) = done(store, |tx| {
        Box::pin(async move {
            let mut created = Vec::new();
            for name in ["red", "blue", "red"] {
                created.push(tx.insert_team(&team(name), at(1)).await?);
            }
            Ok(created)
        })
    })
    .await;
    assert_eq!(created, [true, true, false]);
    let (again, _) = done(store, |tx| {
        Box::pin(async move { Ok(tx.insert_team(&team("blue"), at(2)).await?) })
    })
    .await;
    assert!(!again);
    let mut reader = reader(store).await;
    assert_eq!(reader.teams().await, Ok(vec![team("blue"), team("red")]));
    assert_eq!(reader.team_exists(&team("red")).await, Ok(true));
    assert_eq!(reader.team_exists(&team("green")).await, Ok(false));
}

/// Registering anew replaces what the agent said of itself.
pub async fn agents_are_written_read_and_removed(store: &dyn Store) {
    let team = default_team(store).await;
    let mut agents = ["carl", "ada", "bob"].map(sample::agent);
    let (of, given) = (team.clone(), agents.clone());
    done(store, move |tx| {
        Box::pin(async move {
            for agent in &given {
                tx.put_agent(&of, agent).await?;
            }
            Ok(())
        })
    })
    .await;
    agents[1].spec = AgentSpec {
        role: Role::Monitor,
        queues: Vec::new(),
        slots: u32::MAX,
        description: String::new(),
        transport: Transport::Http,
    };
    agents[1].draining = true;
    agents[1].registered_at = at(99);
    let (of, changed) = (team.clone(), agents[1].clone());
    done(store, move |tx| {
        Box::pin(async move {
            tx.put_agent(&of, &changed).await?;
            tx.remove_agent(&of, &agent_name("carl")).await?;
            Ok(tx.remove_agent(&of, &agent_name("nobody")).await?)
        })
    })
    .await;
    let mut reader = reader(store).await;
    let [_, ada, bob] = agents;
    assert_eq!(
        reader.agents(&team).await,
        Ok(vec![ada.clone(), bob.clone()])
    );
    for (name, expected) in [("ada", Some(ada)), ("bob", Some(bob)), ("carl", None)] {
        let kept = reader.agent(&team, &agent_name(name)).await;
        assert_eq!(kept, Ok(expected), "{name}");
    }
}

/// Pausing is writing the queue again.
pub async fn queues_are_written_and_read(store: &dyn Store) {
    let team = default_team(store).await;
    let mut queues = ["rust", "default"].map(sample::queue);
    queues[0].paused = true;
    let of = team.clone();
    let given = queues.clone();
    done(store, move |tx| {
        Box::pin(async move {
            tx.put_queue(&of, &sample::queue("rust")).await?;
            for queue in &given {
                tx.put_queue(&of, queue).await?;
            }
            Ok(())
        })
    })
    .await;
    let [rust, default] = queues;
    let mut reader = reader(store).await;
    assert_eq!(
        reader.queues(&team).await,
        Ok(vec![default.clone(), rust.clone()])
    );
    for (name, expected) in [
        ("rust", Some(rust)),
        ("default", Some(default)),
        ("c", None),
    ] {
        let kept = reader.queue(&team, &queue_name(name)).await;
        assert_eq!(kept, Ok(expected), "{name}");
    }
}

/// A key is found by its id without knowing its team; it is revoked, not removed.
pub async fn keys_are_found_by_id_and_by_team(store: &dyn Store) {
    let team = default_team(store).await;
    let mut first = sample::key(9, &team);
    first.created_at = at(-5);
    let mut admin = sample::key(1, &team);
    admin.agent = None;
    admin.role = None;
    admin.label = String::new();
    let mut revoked = sample::key(2, &team);
    revoked.created_at = at(500);
    let given = [revoked.clone(), admin.clone(), first.clone()];
    done(store, move |tx| {
        Box::pin(async move {
            for key in &given {
                tx.put_key(key).await?;
            }
            Ok(())
        })
    })
    .await;
    revoked.revoked_at = Some(at(501));
    let given = revoked.clone();
    done(store, move |tx| {
        Box::pin(async move { Ok(tx.put_key(&given).await?) })
    })
    .await;
    let mut reader = reader(store).await;
    let keys = [first, admin, revoked];
    assert_eq!(reader.keys(&team).await, Ok(keys.to_vec()));
    for key in keys {
        assert_eq!(reader.key(key.id).await, Ok(Some(key)));
    }
    assert_eq!(reader.key(key_id(77)).await, Ok(None));
}

/// An answer counts from when it was given; an expired one gives way to a new one.
pub async fn answers_are_remembered_for_a_time(store: &dyn Store) {
    let team = default_team(store).await;
    let answer = |n: u8| Remembered {
        request_hash: [n; 32],
        answer: format!("{{\"n\": {n}, \"text\": \"ä\\u0000\"}}"),
    };
    let of = team.clone();
    done(store, move |tx| {
        Box::pin(async move {
            for (key, n, seconds) in [("a", 1, 10), ("b", 2, 20), ("ä \u{1f980}", 3, 30)] {
                tx.remember(&of, key, &answer(n), at(seconds)).await?;
            }
            Ok(())
        })
    })
    .await;
    let remembered = async |key: &str, since: i64| {
        let mut reader = reader(store).await;
        let kept = reader.remembered(&team, key, at(since)).await;
        kept.expect("an answer")
    };
    assert_eq!(remembered("a", 10).await, Some(answer(1)), "at its time");
    assert_eq!(remembered("a", 11).await, None, "it is older");
    assert_eq!(remembered("b", 0).await, Some(answer(2)));
    assert_eq!(remembered("ä \u{1f980}", 0).await, Some(answer(3)));
    assert_eq!(remembered("c", 0).await, None);
    let listed = async |after: &str, limit: usize| {
        let mut reader = reader(store).await;
        reader.answers(&team, after, limit).await.expect("answers")
    };
    let all = [
        ("a".to_owned(), answer(1), at(10)),
        ("b".to_owned(), answer(2), at(20)),
        ("ä \u{1f980}".to_owned(), answer(3), at(30)),
    ];
    assert_eq!(listed("", 10).await, all, "by key");
    assert_eq!(listed("a", 1).await, all[1..2], "a page after a key");
    let of = team.clone();
    let (forgotten, _) = done(store, move |tx| {
        Box::pin(async move {
            tx.remember(&of, "a", &answer(4), at(40)).await?;
            let some = tx.forget(at(30)).await?;
            let none = tx.forget(at(30)).await?;
            Ok((some, none))
        })
    })
    .await;
    assert_eq!(forgotten, (1, 0));
    assert_eq!(remembered("a", 40).await, Some(answer(4)));
    assert_eq!(remembered("b", 0).await, None, "it was forgotten");
    assert_eq!(remembered("ä \u{1f980}", 0).await, Some(answer(3)));
}
