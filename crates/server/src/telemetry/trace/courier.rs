//! Brings spans to the collector: a bounded queue, one thread, batches.
//!
//! It has a thread and a runtime of its own, so that neither a busy server nor
//! a collector that hangs is felt by the other. OTLP over HTTP with Protobuf
//! (opentelemetry.io/docs/specs/otlp).

use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::counts::{Counts, Sent};

/// Spans that wait: about two seconds of a busy server, some 4 MB.
const QUEUE: usize = 4_096;
/// Most spans of one batch, as other exporters have it.
const BATCH: usize = 512;
/// How long a span waits for company.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch.
const LIMIT: Duration = Duration::from_secs(5);
/// How often a batch is tried while the collector may come back soon.
const TRIES: u32 = 3;
/// The wait before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// Most that is read of a collector's answer: it is a few bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// The near end of the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Courier {
    queue: mpsc::Sender<SpanData>,
    /// Asks for the rest to be sent, and where to say that it was.
    finish: mpsc::Sender<std_mpsc::SyncSender<()>>,
    counts: Arc<Counts>,
}

impl Courier {
    /// Starts the thread that sends.
    pub(super) fn start(
        url: Url,
        headers: HeaderMap,
        resource: &Resource,
    ) -> Result<Self, std::io::Error> {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (finish, finishing) = mpsc::channel(1);
        let counts = Arc::new(Counts::default());
        let far = Far {
            http: client(headers)?,
            url,
            resource: ResourceAttributesWithSchema::from(resource),
            counts: Arc::clone(&counts),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // It ends with the process, or after it was asked to finish.
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || runtime.block_on(far.serve(spans, finishing)))?;
        Ok(Self {
            queue,
            finish,
            counts,
        })
    }

    /// Has the rest sent. False if that takes longer than `limit`.
    pub(super) fn finish(&self, limit: Duration) -> bool {
        let (done, is_done) = std_mpsc::sync_channel(1);
        self.finish.try_send(done).is_ok() && is_done.recv_timeout(limit).is_ok()
    }

    /// Spans in the queue.
    pub(super) fn waiting(&self) -> usize {
        QUEUE - self.queue.capacity()
    }

    pub(super) fn sent(&self) -> Sent {
        self.counts.read()
    }
}

impl SpanProcessor for Courier {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.try_send(span).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The end is ours to say, by [`Courier::finish`].
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn client(headers: HeaderMap) -> Result<reqwest::Client, std::io::Error> {
    reqwest::Client::builder()
        .default_headers(headers)
        // A collector is beside us; a proxy is for the way out.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .map_err(std::io::Error::other)
}

/// Why a batch didn't arrive.
struct Failure {
    reason: String,
    /// Whether the collector may take it in a moment.
    for_now: bool,
}

/// The far end: what the thread holds.
struct Far {
    http: reqwest::Client,
    url: Url,
    resource: ResourceAttributesWithSchema,
    counts: Arc<Counts>,
}

impl Far {
    /// Sends until the process ends or asks it to finish.
    async fn serve(
        self,
        mut spans: mpsc::Receiver<SpanData>,
        mut finishing: mpsc::Receiver<std_mpsc::SyncSender<()>>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                done = finishing.recv() => {
                    spans.close();
                    // What was gathered before is sent too.
                    loop {
                        spans.recv_many(&mut batch, BATCH).await;
                        if batch.is_empty() {
                            break;
                        }
                        self.bring(std::mem::take(&mut batch), 1).await;
                    }
                    if let Some(done) = done {
                        // Whoever asked may have gone: then nobody wants to know.
                        done.send(()).ok();
                    }
                    return;
                }
                () = gather(&mut spans, &mut batch) => {}
            }
            if batch.is_empty() {
                return;
            }
            // While it is known to be away, one try says whether it is back.
            let tries = if self.counts.read().answers { TRIES } else { 1 };
            self.bring(std::mem::take(&mut batch), tries).await;
        }
    }

    async fn bring(&self, batch: Vec<SpanData>, tries: u32) {
        let count = batch.len() as u64;
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(batch, &self.resource),
        };
        let body = bytes::Bytes::from(request.encode_to_vec());
        let mut pause = PAUSE;
        let mut tried = 1;
        let outcome = loop {
            match self.post(body.clone()).await {
                Err(failure) if failure.for_now && tried < tries => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    tried += 1;
                }
                outcome => break outcome,
            }
        };
        match outcome {
            Ok(refused) => self.taken(count, refused),
            Err(failure) => self.away(count, &failure.reason),
        }
    }

    /// Sends a batch once. Gives how many spans the collector refused.
    async fn post(&self, body: bytes::Bytes) -> Result<u64, Failure> {
        let kind = HeaderValue::from_static("application/x-protobuf");
        let request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, kind)
            .body(body);
        let mut response = request.send().await.map_err(|error| Failure {
            reason: root(&error),
            for_now: true,
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(Failure {
                reason: format!("it answers {status}"),
                for_now: may_pass(status),
            });
        }
        let mut answer = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            if answer.len() + piece.len() > MAX_ANSWER {
                break;
            }
            answer.extend_from_slice(&piece);
        }
        // The status says that it has them; an answer that can't be read refuses none.
        let partial = ExportTraceServiceResponse::decode(&*answer)
            .ok()
            .and_then(|answer| answer.partial_success);
        Ok(partial.map_or(0, |partial| {
            u64::try_from(partial.rejected_spans).unwrap_or_default()
        }))
    }

    fn taken(&self, count: u64, refused: u64) {
        let refused = refused.min(count);
        self.counts
            .sent
            .fetch_add(count - refused, Ordering::Relaxed);
        if refused > 0 && self.counts.refused.fetch_add(refused, Ordering::Relaxed) == 0 {
            tracing::warn!(refused, collector = %self.url, "the collector refuses spans");
        }
        if !self.counts.answers.swap(true, Ordering::Relaxed) {
            tracing::info!(collector = %self.url, "traces reach the collector again");
        }
    }

    /// Said when it goes, not for each batch that is lost.
    fn away(&self, count: u64, reason: &str) {
        self.counts.lost.fetch_add(count, Ordering::Relaxed);
        if self.counts.answers.swap(false, Ordering::Relaxed) {
            tracing::warn!(collector = %self.url, reason,
                "traces don't reach the collector and are lost until it answers");
        }
    }
}

/// Waits for a span and then a moment for more. Leaves the batch empty if none will come.
async fn gather(spans: &mut mpsc::Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if spans.recv_many(batch, BATCH).await == 0 {
        return;
    }
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, spans.recv_many(batch, room)).await {
            Ok(more) if more > 0 => {}
            _ => return,
        }
    }
}

/// Whether the same batch may be taken later (OTLP, "retryable response codes").
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The innermost reason, without the address, which is said apart.
fn root(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", LIMIT.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}
