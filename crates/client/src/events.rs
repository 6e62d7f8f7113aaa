//! The event feed: follows the team's log over broken connections.
//!
//! Events carry numbers without gaps. The stream hands them out in order, each
//! once: after a break it asks for what follows the last one that it handed
//! out; what comes twice is dropped; and where a number is missing it asks
//! again, and says so if the number is missing still.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use collective_core::event::Event;
use futures_util::Stream;
use futures_util::stream;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use crate::call::refused;
use crate::sse::{Frame, Parser};
use crate::{Client, ClientError};

/// A connection that is silent for longer is taken for dead: several keep-alive comments were missed.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// How long the server may be away before the stream gives up.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Bound of the delay before the first new connection.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Bound that this delay never passes.
const MAX_DELAY: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the next break starts with a short delay again.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// The events of a team, one after the other. Ends after an error that can't pass.
///
/// An error in between (an event that this version can't read, numbers that
/// are missing) is an item of its own, and the stream goes on after it.
pub struct EventStream {
    inner: Pin<Box<dyn Stream<Item = Result<Event, ClientError>> + Send>>,
}

impl Stream for EventStream {
    type Item = Result<Event, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventStream")
    }
}

impl Client {
    /// `GET /v1/events` as a feed: what follows the number `after`; 0 is
    /// everything, `None` is what comes from now on.
    pub fn events(&self, after: Option<u64>) -> EventStream {
        let feed = Feed {
            client: self.clone(),
            last: after,
            connection: None,
            ready: VecDeque::new(),
            breaks: 0,
            away_since: None,
            asked_again_for: None,
            ended: false,
        };
        let inner = stream::unfold(feed, |mut feed| async move {
            let item = feed.next().await?;
            Some((item, feed))
        });
        EventStream {
            inner: Box::pin(inner),
        }
    }
}

/// Where the feed stands.
struct Feed {
    client: Client,
    /// The number of the last event that was handed out, once it is known where to start.
    last: Option<u64>,
    connection: Option<Connection>,
    ready: VecDeque<Frame>,
    /// Breaks in a row.
    breaks: u32,
    away_since: Option<Instant>,
    /// The number before which events were missing when the feed was asked again.
    asked_again_for: Option<u64>,
    ended: bool,
}

struct Connection {
    response: Response,
    parser: Parser,
    since: Instant,
}

impl Feed {
    async fn next(&mut self) -> Option<Result<Event, ClientError>> {
        while !self.ended {
            if let Some(frame) = self.ready.pop_front() {
                match self.take(&frame) {
                    Some(item) => return Some(item),
                    None => continue,
                }
            }
            let step = match self.connection {
                Some(_) => self.read().await,
                None => self.connect().await,
            };
            if let Err(error) = step {
                let connection = self.connection.take();
                if connection.is_some_and(|it| it.since.elapsed() >= GOOD_CONNECTION) {
                    self.breaks = 0;
                }
                if !error.is_passing() || self.is_away_too_long() {
                    self.ended = true;
                    return Some(Err(error));
                }
                tracing::debug!(%error, breaks = self.breaks, "the event feed connects again");
                tokio::time::sleep(self.delay()).await;
            }
        }
        None
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let last = match self.last {
            Some(last) => last,
            // "From now on" is a number too: without one, a break before the
            // first event would lose what happened meanwhile.
            None => self.client.status().await?.last_event,
        };
        self.last = Some(last);
        let request = self
            .client
            .get(&["v1", "events"])
            .header("accept", "text/event-stream")
            .header("last-event-id", &last.to_string())
            .request()?;
        let url = request.url().to_string();
        let limit = self.client.settings.timeout;
        let opened = tokio::time::timeout(limit, self.client.http.execute(request)).await;
        let response = opened
            .map_err(|_| ClientError::Timeout {
                url: self.client.url().to_owned(),
                after: limit,
            })?
            .map_err(|error| self.client.unreachable(&error))?;
        let status = response.status();
        if !status.is_success() {
            let (status, headers, body) = self.client.read(response).await?;
            return Err(refused(&url, status, &headers, &body));
        }
        let is_feed = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("text/event-stream"));
        if !is_feed {
            return Err(self.garbled("not an event stream"));
        }
        self.connection = Some(Connection {
            response,
            parser: Parser::default(),
            since: Instant::now(),
        });
        self.away_since = None;
        Ok(())
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let piece = tokio::time::timeout(SILENCE_LIMIT, connection.response.chunk())
            .await
            .map_err(|_| ClientError::Timeout {
                url: self.client.url().to_owned(),
                after: SILENCE_LIMIT,
            })?
            .map_err(|error| self.client.unreachable(&error))?
            .ok_or_else(|| ClientError::Unreachable {
                url: self.client.url().to_owned(),
                reason: "the server closed the event stream".to_owned(),
                sent: true,
            })?;
        match connection.parser.push(&piece) {
            Ok(frames) => {
                self.ready.extend(frames);
                Ok(())
            }
            Err(_) => Err(self.garbled("an event is larger than its bound")),
        }
    }

    /// What a frame gives: an event, an error, or nothing if it is a repetition.
    fn take(&mut self, frame: &Frame) -> Option<Result<Event, ClientError>> {
        let last = self.last.unwrap_or_default();
        let Some(seq) = frame.id.as_deref().and_then(|id| id.parse::<u64>().ok()) else {
            return Some(Err(self.garbled("an event without a number")));
        };
        if seq <= last {
            return None;
        }
        if seq > last + 1 {
            self.ready.clear();
            if self.asked_again_for != Some(seq) {
                self.asked_again_for = Some(seq);
                self.connection = None;
                return None;
            }
            // They aren't there. Go on with the one that is, once that was said.
            self.last = Some(seq - 1);
            self.connection = None;
            let missing = format!("the events {} to {} are missing", last + 1, seq - 1);
            return Some(Err(self.garbled(&missing)));
        }
        self.last = Some(seq);
        self.breaks = 0;
        Some(
            serde_json::from_str(&frame.data)
                .map_err(|error| self.garbled(&format!("event {seq} can't be read: {error}"))),
        )
    }

    fn is_away_too_long(&mut self) -> bool {
        self.away_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE
    }

    fn delay(&mut self) -> Duration {
        let growth = 1u32 << self.breaks.min(16);
        self.breaks += 1;
        let bound = FIRST_DELAY.saturating_mul(growth).min(MAX_DELAY);
        bound.mul_f64(rand::random::<f64>())
    }

    fn garbled(&self, what: &str) -> ClientError {
        ClientError::Protocol {
            url: self.client.url().to_owned(),
            status: 200,
            what: what.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Reply};
    use futures_util::StreamExt;

    fn frame(seq: u64) -> String {
        format!(
            "id: {seq}\nevent: queue.declared\ndata: {{\"team\":\"default\",\"seq\":{seq},\
             \"at\":\"2026-11-24T18:00:00Z\",\"actor\":\"admin\",\"type\":\"queue.declared\",\
             \"queue\":\"q{seq}\"}}\n\n"
        )
    }

    fn feed(seqs: impl IntoIterator<Item = u64>) -> Reply {
        Reply::stream(seqs.into_iter().map(frame).collect::<String>())
    }

    async fn numbers(stream: &mut EventStream, count: usize) -> Vec<u64> {
        stream
            .by_ref()
            .take(count)
            .map(|item| item.unwrap().seq)
            .collect()
            .await
    }

    #[tokio::test]
    async fn the_feed_goes_on_after_a_break_without_skipping_or_repeating() {
        let fake = Fake::start(|seen| {
            match seen.header("last-event-id") {
                Some("3") => feed([4, 5]),
                // The server sends what was there already once more, then breaks off.
                Some("5") => feed([4, 5, 6]),
                Some("6") => feed([7]),
                other => panic!("asked after {other:?}"),
            }
        })
        .await;
        let mut stream = fake.client().events(Some(3));
        assert_eq!(numbers(&mut stream, 4).await, [4, 5, 6, 7]);
    }

    #[tokio::test]
    async fn a_missing_number_is_asked_for_again() {
        let fake = Fake::start(|seen| match seen.count {
            0 => feed([1, 3]),
            _ => feed([2, 3]),
        })
        .await;
        let mut stream = fake.client().events(Some(0));
        assert_eq!(numbers(&mut stream, 3).await, [1, 2, 3]);
    }

    #[tokio::test]
    async fn numbers_that_stay_missing_are_said_and_the_feed_goes_on() {
        let fake = Fake::start(|seen| match seen.header("last-event-id") {
            Some("3") => feed([4]),
            _ => feed([4, 5]),
        })
        .await;
        let mut stream = fake.client().events(Some(1));
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("events 2 to 3"), "{error}");
        assert_eq!(numbers(&mut stream, 1).await, [4]);
    }

    #[tokio::test]
    async fn from_now_on_is_pinned_to_a_number_before_the_feed_opens() {
        let fake = Fake::start(|seen| match seen.path.as_str() {
            "/v1/status" => Reply::json(
                200,
                r#"{"team":"default","version":"0","uptime_seconds":0.0,"tasks":{},
                    "queues":[],"agents":[],"open_questions":0,"last_event":41}"#,
            ),
            _ => {
                assert_eq!(seen.header("last-event-id"), Some("41"));
                feed([42])
            }
        })
        .await;
        let mut stream = fake.client().events(None);
        assert_eq!(numbers(&mut stream, 1).await, [42]);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_feed() {
        let fake = Fake::start(|_| Reply::problem(401, "unauthenticated")).await;
        let mut stream = fake.client().events(Some(0));
        let error = stream.next().await.unwrap().unwrap_err();
        assert!(error.is(collective_core::Code::Unauthenticated), "{error}");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn an_event_that_cannot_be_read_is_said_and_the_feed_goes_on() {
        let fake = Fake::start(|_| {
            Reply::stream(format!(
                "id: 1\ndata: {{\"type\":\"later\"}}\n\n{}",
                frame(2)
            ))
        })
        .await;
        let mut stream = fake.client().events(Some(0));
        assert!(stream.next().await.unwrap().is_err());
        assert_eq!(numbers(&mut stream, 1).await, [2]);
    }
}
