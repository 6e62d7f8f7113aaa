//! One report from its arrival to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use collective_api::leases::{CompleteRequest, FailRequest, HeartbeatRequest, LeaseRef};
use collective_api::leases::{ReleaseRequest, Settled};
use collective_api::{IDEMPOTENCY_HEADER, Item, Items, TEAM_HEADER};
use collective_core::ports::{Broker, BusError, Report};
use collective_core::role::Principal;
use collective_core::task::Priority;
use collective_core::{Code, Rejection, Span};
use collective_service::{agents, leases};
use futures_util::FutureExt;
use serde::Serialize;
use tracing::Instrument;
use uuid::Uuid;

use super::order::{Order, Registered, Registration, known};
use crate::http::app::App;
use crate::http::auth::{principal, within};
use crate::http::problem::to_outside;
use crate::telemetry::events::{ReportDealtWith, ReportEnd};
use crate::telemetry::trace::{self, TraceContext};

/// The header with the API key.
const KEY_HEADER: &str = "collective-key";
/// The bucket of log lines about reports without a valid key.
const FAILURES: &str = "auth-failures/amqp";
/// How long one try may take: as a request over HTTP without a wait.
const TRY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a report is kept in hand while the store can't serve, before it
/// goes back to the broker and perhaps to another replica. The broker counts
/// how often it comes back, so this bounds too how long an outage may last
/// before reports become dead letters.
const PATIENCE: Duration = Duration::from_secs(20);
/// The first pause between two tries, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What becomes of a report.
enum End {
    /// It was carried out.
    Answered(Vec<u8>),
    /// A rule refused it.
    Refused(Rejection),
    /// Nobody can deal with it.
    Buried(Rejection),
    /// It can't be dealt with now.
    Again(Rejection),
}

/// Deals with one report.
pub(super) async fn with(app: App, broker: Arc<dyn Broker>, mut report: Box<dyn Report>) {
    let started = Instant::now();
    let id = Uuid::now_v7().simple().to_string();
    let kind = known(report.kind());
    let user = report.user().map(str::to_owned);
    let letter = Letter {
        order: Order::read(report.kind(), report.body()),
        key: report.header(KEY_HEADER).map(str::to_owned),
        team: report.header(TEAM_HEADER).map(str::to_owned),
        idempotency_key: report.header(IDEMPOTENCY_HEADER).map(str::to_owned),
    };
    let span = tracing::info_span!(
        "report",
        otel.name = format!("{kind} report"),
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        "messaging.operation.type" = "process",
        collective.request_id = id,
        collective.team = tracing::field::Empty,
    );
    let caller = report.header("traceparent").and_then(TraceContext::parse);
    trace::begin_at(&span, caller.as_ref());
    let end = letter.carry_out(&app, &*broker).instrument(span).await;
    let answer = match &end {
        End::Answered(answer) => Some(answer.clone()),
        End::Refused(rejection) | End::Buried(rejection) => Some(refusal(rejection, &id)),
        End::Again(_) => None,
    };
    if let Some(answer) = answer
        && let Err(error) = report.answer(&answer).await
    {
        // What was carried out stays so. The agent asks again and gets the same answer.
        tracing::debug!(%error, kind, report = id, "an answer did not reach the broker");
    }
    let (outcome, rejection, given) = match end {
        End::Answered(_) => (ReportEnd::Ok, None, report.done().await),
        End::Refused(rejection) => (ReportEnd::Refused, Some(rejection), report.done().await),
        End::Buried(rejection) => {
            let reason = format!("{}: {rejection}", rejection.code().as_str());
            (
                ReportEnd::Buried,
                Some(rejection),
                report.bury(&reason).await,
            )
        }
        End::Again(rejection) => (ReportEnd::Again, Some(rejection), report.again().await),
    };
    let put_off = match &rejection {
        Some(rejection) if rejection.code() == Code::Unauthenticated => {
            within(&app, FAILURES, app.limits.auth_failures)
                .await
                .is_err()
        }
        _ => false,
    };
    app.metrics.emit(&ReportDealtWith {
        id: &id,
        kind,
        user: user.as_deref(),
        end: outcome,
        rejection: rejection.as_ref(),
        put_off,
        took: started.elapsed(),
    });
    if let Err(error) = given {
        // The broker still has it and gives it again.
        tracing::debug!(%error, kind, report = id, "a report could not be put away");
    }
}

/// A report as it is carried out, without the way back to its sender.
struct Letter {
    order: Result<Order, Rejection>,
    key: Option<String>,
    team: Option<String>,
    idempotency_key: Option<String>,
}

impl Letter {
    /// Carries it out, with patience while a part that it needs doesn't serve.
    async fn carry_out(&self, app: &App, broker: &dyn Broker) -> End {
        let give_up = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            let rejection = match bounded(self.attempt(app, broker)).await {
                Ok(End::Again(rejection)) => rejection,
                Ok(end) => return end,
                Err(rejection) => rejection,
            };
            if app.stop.is_cancelled() || Instant::now() + pause > give_up {
                return End::Again(rejection);
            }
            tokio::select! {
                () = app.stop.cancelled() => return End::Again(rejection),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, app: &App, broker: &dyn Broker) -> End {
        let who = match principal(app, self.key.as_deref(), self.team.as_deref()).await {
            Ok(who) => who,
            Err(refused) => return end_of(of_amqp(refused.rejection())),
        };
        let order = match &self.order {
            Ok(order) => order.clone(),
            Err(rejection) => return End::Buried(rejection.clone()),
        };
        match self.obey(app, broker, &who, order).await {
            Ok(answer) => End::Answered(answer),
            Err(rejection) => end_of(rejection),
        }
    }

    async fn obey(
        &self,
        app: &App,
        broker: &dyn Broker,
        who: &Principal,
        order: Order,
    ) -> Result<Vec<u8>, Rejection> {
        let hub = &app.hub;
        match order {
            Order::Registered(said) => success(register(app, broker, who, said).await?),
            Order::Started(said) => {
                let key = self.idempotency_key.as_deref();
                let (task, agent) = (said.task, &said.agent);
                success(leases::claim_offered(hub, who, task, agent, said.lease, key).await?)
            }
            Order::Heartbeat(said) => {
                let request = HeartbeatRequest {
                    agent: said.agent,
                    beats: said.beats,
                    wait: Span::ZERO,
                };
                success(leases::heartbeat(hub, who, &request).await?)
            }
            Order::Completed(completion) => {
                let completions = vec![*completion];
                only(leases::complete(hub, who, CompleteRequest { completions }).await?)
            }
            Order::Failed(failed) => {
                let failures = vec![*failed];
                only(leases::fail(hub, who, FailRequest { failures }).await?)
            }
            Order::Released(said) => {
                let (task, token) = (said.task, said.token);
                let request = ReleaseRequest {
                    leases: vec![LeaseRef { task, token }],
                    reason: said.reason,
                };
                only(leases::release(hub, who, request).await?)
            }
        }
    }
}

async fn register(
    app: &App,
    broker: &dyn Broker,
    who: &Principal,
    said: Registered,
) -> Result<Registration, Rejection> {
    let agent = said.agent.clone();
    let view = agents::register(&app.hub, who, &agent, said.spec()).await?;
    let lanes = view.agent.lanes();
    for lane in &lanes {
        let declared = broker.declare(&who.team, lane).await;
        declared.map_err(|error| unavailable(&error))?;
    }
    let task_queues = Priority::ALL
        .into_iter()
        .flat_map(|priority| lanes.iter().map(move |lane| (lane, priority)))
        .map(|(lane, priority)| broker.task_queue(&who.team, lane, priority))
        .collect();
    Ok(Registration {
        agent: view,
        task_queues,
    })
}

fn unavailable(error: &BusError) -> Rejection {
    Rejection::new(Code::Unavailable, error.to_string()).hint("try again in a moment")
}

/// The answer of a report on one task.
fn only(mut items: Items<Settled>) -> Result<Vec<u8>, Rejection> {
    let answered = items.items.pop().map(Item::into_result);
    match answered {
        Some(Ok(settled)) => success(settled),
        Some(Err(problem)) => Err(Rejection::from(*problem)),
        None => Err(Rejection::new(
            Code::Internal,
            "a report on a task has no answer",
        )),
    }
}

fn success(value: impl Serialize) -> Result<Vec<u8>, Rejection> {
    let item = Item {
        ok: Some(value),
        error: None,
    };
    serde_json::to_vec(&item).map_err(|error| Rejection::new(Code::Internal, error.to_string()))
}

fn refusal(rejection: &Rejection, id: &str) -> Vec<u8> {
    let item: Item<()> = Item {
        ok: None,
        error: Some(to_outside(rejection, id)),
    };
    serde_json::to_vec(&item).unwrap_or_default()
}

/// Advice that was meant for HTTP, in words of AMQP.
fn of_amqp(rejection: &Rejection) -> Rejection {
    match rejection.code() {
        Code::Unauthenticated => {
            Rejection::new(Code::Unauthenticated, "the report has no valid key").hint(format!(
                "send the agent's API key in the header {KEY_HEADER}"
            ))
        }
        Code::RateLimited => Rejection::new(Code::RateLimited, rejection.message())
            .hint("send it again in a moment; one heartbeat may name all leases"),
        _ => rejection.clone(),
    }
}

/// What a refusal means for the report.
fn end_of(rejection: Rejection) -> End {
    match rejection.code() {
        Code::Unavailable | Code::Draining | Code::StorageFull | Code::Timeout => {
            End::Again(rejection)
        }
        // A bug of ours: the report is kept for whoever looks for it. One
        // without a key may be anybody's, or a configuration that is wrong.
        Code::Internal | Code::Unauthenticated => End::Buried(rejection),
        _ => End::Refused(rejection),
    }
}

/// One try, ended if it takes too long or panics.
async fn bounded(attempt: impl Future<Output = End>) -> Result<End, Rejection> {
    match tokio::time::timeout(TRY_TIMEOUT, AssertUnwindSafe(attempt).catch_unwind()).await {
        Ok(Ok(end)) => Ok(end),
        Ok(Err(_)) => Ok(End::Buried(Rejection::new(
            Code::Internal,
            "carrying out a report panicked",
        ))),
        Err(_) => Err(Rejection::new(
            Code::Timeout,
            format!("no answer within {} s", TRY_TIMEOUT.as_secs()),
        )),
    }
}
