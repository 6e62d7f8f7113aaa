//! Every bound in one place, each with its reason.
//!
//! Sizes are bytes of UTF-8 or of decoded content unless said otherwise.

use crate::time::Span;

/// Longest name of a team, agent or queue: a DNS label, so that names fit host names and routing keys.
pub const MAX_NAME_LEN: usize = 63;
/// Longest task title: one line of a wide terminal, with room.
pub const MAX_TITLE_LEN: usize = 200;
/// Longest prompt: larger than any model's useful instruction; files belong in the repository.
pub const MAX_PROMPT_LEN: usize = 256 * 1024;
/// Largest `input` of a task, serialised.
pub const MAX_INPUT_LEN: usize = 256 * 1024;
/// Largest text or JSON of a result, each.
pub const MAX_RESULT_LEN: usize = 1024 * 1024;
/// Largest artifact that is kept in the store (a patch, a report); larger ones stay on their branch.
pub const MAX_ARTIFACT_LEN: usize = 4 * 1024 * 1024;
/// Most artifacts of one result.
pub const MAX_ARTIFACTS: usize = 32;
/// Largest body of one HTTP request: a batch of results with artifacts.
pub const MAX_BODY_LEN: usize = 16 * 1024 * 1024;
/// Most items in one batch: one transaction stays in the milliseconds.
pub const MAX_BATCH: usize = 1_000;
/// Most dependencies of one task: a fan-in that a person can still read.
pub const MAX_DEPENDENCIES: usize = 256;
/// Most checks of one task.
pub const MAX_CHECKS: usize = 32;
/// Most labels of one task, and the length of each key and value.
pub const MAX_LABELS: usize = 32;
/// Longest label key or value.
pub const MAX_LABEL_LEN: usize = 128;
/// Most slots of one agent.
pub const MAX_SLOTS: u32 = 1_024;
/// Most queues that one agent serves.
pub const MAX_QUEUES_PER_AGENT: usize = 64;
/// Most attempts that a retry policy may allow.
pub const MAX_ATTEMPTS: u32 = 100;
/// Most output that is kept per attempt; the middle is dropped beyond it.
pub const MAX_LOG_LEN: usize = 1024 * 1024;
/// Largest chunk of output in one request.
pub const MAX_LOG_CHUNK: usize = 64 * 1024;
/// What a failed attempt may hand to the next one (a check's output, an error).
pub const MAX_FEEDBACK_LEN: usize = 16 * 1024;
/// Longest message body.
pub const MAX_MESSAGE_LEN: usize = 64 * 1024;
/// Longest question or answer.
pub const MAX_QUESTION_LEN: usize = 16 * 1024;
/// Most paths in one reservation, and the length of each.
pub const MAX_PATHS: usize = 256;
/// Longest path.
pub const MAX_PATH_LEN: usize = 1_024;
/// Longest reason given for a failure, a cancellation or a discard.
pub const MAX_REASON_LEN: usize = 2_000;
/// Largest JSON schema of a result check, serialised.
pub const MAX_SCHEMA_LEN: usize = 64 * 1024;
/// Longest `Idempotency-Key`.
pub const MAX_IDEMPOTENCY_KEY_LEN: usize = 128;
/// Most items on one page of a listing.
pub const MAX_PAGE: usize = 500;
/// Items on a page when nothing is said.
pub const DEFAULT_PAGE: usize = 50;
/// Largest sum of dependency results handed over with one claim.
pub const MAX_DEPENDENCY_RESULTS_LEN: usize = 4 * 1024 * 1024;

/// Shortest lease: three missed heartbeats of one second.
pub const MIN_LEASE: Span = Span::from_secs(3);
/// Longest lease: a dead agent blocks its task no longer than this.
pub const MAX_LEASE: Span = Span::from_secs(3_600);
/// Lease when nothing is said.
pub const DEFAULT_LEASE: Span = Span::from_secs(30);
/// Longest long-poll: below the idle timeout of common proxies (60 s).
pub const MAX_WAIT: Span = Span::from_secs(55);
/// Longest run time of one attempt.
pub const MAX_TIMEOUT: Span = Span::from_secs(7 * 24 * 3_600);
/// Run time of one attempt when nothing is said.
pub const DEFAULT_TIMEOUT: Span = Span::from_secs(3_600);
/// Longest delay between two attempts, a quota reset included.
pub const MAX_DELAY: Span = Span::from_secs(7 * 24 * 3_600);
/// How long an open question holds its lease when nothing is said.
pub const DEFAULT_QUESTION_WAIT: Span = Span::from_secs(24 * 3_600);
/// A queued task is promoted by one priority class each time it has waited this long.
pub const AGEING_STEP: Span = Span::from_secs(300);
/// An agent counts as present this long after its last sign of life.
pub const PRESENCE_TTL: Span = Span::from_secs(60);
/// How long an `Idempotency-Key` is remembered.
pub const IDEMPOTENCY_TTL: Span = Span::from_secs(24 * 3_600);
/// Longest reservation.
pub const MAX_RESERVATION: Span = Span::from_secs(24 * 3_600);
/// Poison attempts after which a task is dead whatever its policy says.
pub const POISON_LIMIT: u32 = 2;
/// Longest a schedule or `run_at` may lie ahead.
pub const MAX_AHEAD: Span = Span::from_secs(5 * 366 * 24 * 3_600);
/// How often a task may be claimed in all; bounds what no attempt count bounds (quota waits, releases).
pub const MAX_CLAIMS: u32 = 1_000;
/// Wait for a provider's reset when the provider didn't say when it is.
pub const DEFAULT_QUOTA_WAIT: Span = Span::from_secs(60);
/// Most jitter that is added to a provider's reset, so that a team doesn't return at once.
pub const MAX_QUOTA_JITTER: Span = Span::from_secs(30);
/// How long past its timeout an attempt may still report; then the server ends it.
pub const TIMEOUT_GRACE: Span = Span::from_secs(60);
