//! `/v1/events`: the team's log as pages, and as a stream that misses nothing.
//!
//! A stream reads the log in the store from its cursor on; the bus only says
//! when to read. Nothing is read ahead of its reader, so a slow one costs no
//! memory, and one that stops reading loses its connection
//! (see [`crate::stall`]). Server-sent events as in the HTML standard, 9.2.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use collective_api::Page;
use collective_api::operations::ReadEvents;
use collective_core::event::Event;
use collective_core::limits::{DEFAULT_PAGE, MAX_PAGE};
use collective_core::ports::Subscription;
use collective_core::role::Principal;
use collective_core::{Code, Rejection};
use collective_service::{feed, tasks};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app::App;
use super::auth::{Credentials, Who};
use super::extract::Asked;
use super::openapi::reads;
use super::problem::Refused;

/// The media type of a stream.
const EVENT_STREAM: &str = "text/event-stream";
/// The header with which a stream that was cut goes on.
const LAST_EVENT_ID: &str = "last-event-id";
/// How long a stream is silent at most: a comment keeps proxies from closing it,
/// and a lost wake-up costs no more than this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long to gather events after some were sent: a busy log is read in pages, not one by one.
const GATHER: Duration = Duration::from_millis(5);
/// How long to wait before the store is asked again after it failed, and how often.
const RETRY: Duration = Duration::from_secs(1);
/// Failures in a row after which the stream ends and its reader may connect again.
const MAX_FAILURES: u32 = 5;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(reads(routes!(read_events), &[Code::LimitReached]))
}

/// Read the team's log, or follow it.
///
/// With `Accept: text/event-stream` it is a stream that goes on for ever: `id` is the event's number,
/// `event` its type, `data` the event. `Last-Event-ID` goes on where a stream was cut, without a gap.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(ReadEvents,
           ("last-event-id" = Option<u64>, Header, description = "The number after which to read; goes before `after`.")),
    responses((status = 200, description = "One page, or the stream.", content(
        (Page<Event> = "application/json"), (String = "text/event-stream")))),
)]
async fn read_events(
    State(app): State<App>,
    Who(who): Who,
    Asked(request): Asked<ReadEvents>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let after = match headers.get(LAST_EVENT_ID) {
        Some(value) => Some(last_event_id(value)?),
        None => request.after,
    };
    if wants_stream(&headers) {
        if request.task.is_some() {
            return Err(
                Rejection::new(Code::InvalidField, "a stream is of the whole team")
                    .hint("filter by the event's `task`, or read pages")
                    .at("task")
                    .into(),
            );
        }
        return stream_events(app, who, Credentials::of(&headers), after).await;
    }
    let page = match &request.task {
        Some(task) => Page {
            items: tasks::history(&app.hub, &who, task).await?,
            next: None,
        },
        None => {
            let limit = request.limit.unwrap_or(DEFAULT_PAGE);
            let items = feed::page(&app.hub, &who, after.unwrap_or(0), limit).await?;
            let next = items
                .last()
                .filter(|_| items.len() == limit)
                .map(|event| event.seq.to_string());
            Page { items, next }
        }
    };
    Ok(Json(page).into_response())
}

fn last_event_id(value: &HeaderValue) -> Result<u64, Rejection> {
    value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| {
            Rejection::new(Code::InvalidField, "is not an event's number").at(LAST_EVENT_ID)
        })
}

fn wants_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|accepted| accepted.split(','))
        .any(|range| {
            range
                .split(';')
                .next()
                .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM))
        })
}

async fn stream_events(
    app: App,
    who: Principal,
    credentials: Credentials,
    after: Option<u64>,
) -> Result<Response, Refused> {
    let place = app.streams.clone().try_acquire_owned().map_err(|_| {
        Rejection::new(
            Code::LimitReached,
            format!("{} event streams are open", app.limits.max_streams),
        )
        .hint("close streams that nobody reads, or read pages")
    })?;
    // Subscribed before the cursor is set, so that nothing falls in between.
    let subscription = feed::follow(&app.hub, &who).await?;
    let cursor = match after {
        Some(after) => after,
        None => feed::last(&app.hub, &who).await?,
    };
    app.metrics.event_streams.inc();
    let follower = Follower {
        app,
        who,
        credentials,
        subscription,
        cursor,
        sent: false,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        let chunk = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), Some(follower)))
    }));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM)),
        // Proxies that gather answers would hold the stream back.
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    Ok((headers, body).into_response())
}

/// One stream: where it is in the log, and how it hears that there is more.
struct Follower {
    app: App,
    who: Principal,
    credentials: Credentials,
    subscription: Box<dyn Subscription>,
    cursor: u64,
    /// Whether the last chunk held events.
    sent: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece of the stream; none when the server stops, the key was revoked or the log can't be read.
    async fn next(&mut self) -> Option<Bytes> {
        let stop = self.app.stop.clone();
        // Costs microseconds: the service remembers keys for a second.
        if !self.credentials.still_name(&self.app, &self.who).await {
            return None;
        }
        tokio::select! {
            chunk = self.chunk() => chunk,
            () = stop.cancelled() => None,
        }
    }

    async fn chunk(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.sent) {
            tokio::time::sleep(GATHER).await;
        }
        let mut failures = 0;
        let mut waited = false;
        loop {
            match feed::page(&self.app.hub, &self.who, self.cursor, MAX_PAGE).await {
                Ok(events) if !events.is_empty() => {
                    self.cursor = events.last().map_or(self.cursor, |event| event.seq);
                    self.sent = true;
                    return written(&events);
                }
                Ok(_) if waited => return Some(Bytes::from_static(b": still here\n\n")),
                Ok(_) => {
                    waited = self.wait().await.is_none();
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "an event stream could not be read");
                    if failures == MAX_FAILURES {
                        return None;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits for a wake-up; none if there was none in time. A bus that fails counts as none in time.
    async fn wait(&mut self) -> Option<()> {
        let woken = tokio::time::timeout(KEEP_ALIVE, self.subscription.wake()).await;
        match woken {
            Ok(Ok(())) => Some(()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the bus wakes no stream; the log is read all the same");
                tokio::time::sleep(RETRY).await;
                None
            }
            Err(_) => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.app.metrics.event_streams.dec();
    }
}

/// Events in the form of the standard; none if one can't be written, which ends the stream.
fn written(events: &[Event]) -> Option<Bytes> {
    /// About the size of an event, so that the buffer rarely grows.
    const USUAL_LEN: usize = 320;
    let mut out = BytesMut::with_capacity(events.len() * USUAL_LEN).writer();
    for event in events {
        let head = out.get_mut();
        head.extend_from_slice(b"id: ");
        head.extend_from_slice(event.seq.to_string().as_bytes());
        head.extend_from_slice(b"\nevent: ");
        head.extend_from_slice(event.fact.kind().as_bytes());
        head.extend_from_slice(b"\ndata: ");
        // JSON has no raw line breaks, so it is one line of data.
        if let Err(error) = serde_json::to_writer(&mut out, event) {
            tracing::error!(%error, seq = event.seq, "an event can't be written");
            return None;
        }
        out.get_mut().extend_from_slice(b"\n\n");
    }
    Some(out.into_inner().freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use collective_core::event::Fact;
    use collective_core::{TeamName, Timestamp};

    #[test]
    fn an_event_is_written_as_the_standard_says() {
        let event = Event {
            team: TeamName::default_team(),
            seq: 7,
            at: Timestamp::from_micros(0),
            actor: "admin".to_owned(),
            fact: Fact::AccessDenied {
                what: "line\nbreak".to_owned(),
            },
        };
        let text = written(&[event]).expect("it is written");
        assert_eq!(
            std::str::from_utf8(&text).expect("text"),
            "id: 7\nevent: access.denied\ndata: {\"team\":\"default\",\"seq\":7,\"at\":\"1970-01-01T00:00:00.000000Z\",\
             \"actor\":\"admin\",\"type\":\"access.denied\",\"what\":\"line\\nbreak\"}\n\n"
        );
    }

    #[test]
    fn a_stream_is_given_to_who_asks_for_one() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_stream(&headers)
        };
        assert!(wants("text/event-stream"));
        assert!(wants("application/json;q=0.5, text/event-stream;q=0.9"));
        assert!(!wants("application/json"));
        assert!(!wants("*/*"));
    }
}
