-- The first schema. Times are microseconds since 1970 in UTC, spans are
-- microseconds, states are core's words. JSON is kept as text, so that it comes
-- back byte for byte, and only for what no statement looks into. Text sorts by
-- its bytes, whatever the database's collation, as it does on SQLite.
--
-- A text never has the characters U+0000 (which PostgreSQL can't keep) and
-- U+0001: they are written as U+0001 followed by `0` and `1` (see column.rs).
--
-- There are no foreign keys: rows that others point to are never deleted, and
-- each check would cost a look-up on the hot path.

-- Locking a team's row is what makes works of one team come one after the
-- other, on all replicas. It is written once per transaction: half a page stays
-- free, so that its new version needs no new entry in an index.
CREATE TABLE teams (
    number      INTEGER NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        TEXT    COLLATE "C" NOT NULL UNIQUE,
    created_at  BIGINT  NOT NULL,
    -- The newest event's number.
    last_seq    BIGINT  NOT NULL DEFAULT 0,
    -- How many tasks it has ever had, so that the succeeded ones needn't be counted.
    tasks       BIGINT  NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- How far the bus was told of each team's events. A table of its own, so that
-- the relay and a team's works never wait for each other.
CREATE TABLE told (
    team  INTEGER NOT NULL PRIMARY KEY,
    seq   BIGINT  NOT NULL
) WITH (fillfactor = 50);

-- What one replica does for all. The epoch fences those who had it before.
CREATE TABLE duties (
    duty     TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    epoch    BIGINT NOT NULL,
    holder   TEXT   COLLATE "C" NOT NULL,
    seen_at  BIGINT NOT NULL
);

-- One row that is written to see whether writing is possible.
CREATE TABLE probe (
    single      BOOLEAN NOT NULL PRIMARY KEY CHECK (single),
    written_at  TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 50);

-- Each task is rewritten a few times and its old rows are in the way of whoever
-- looks for the next one, so it is vacuumed early.
CREATE TABLE tasks (
    team              INTEGER  NOT NULL,
    number            BIGINT   NOT NULL,
    id                UUID     NOT NULL,
    lane              TEXT     COLLATE "C" NOT NULL,
    priority          SMALLINT NOT NULL,
    state             TEXT     COLLATE "C" NOT NULL,
    waiting_on        BIGINT   NOT NULL,
    ready_at          BIGINT   NOT NULL,
    wake_at           BIGINT,
    due_at            BIGINT,
    epoch             BIGINT   NOT NULL,
    attempts_used     BIGINT   NOT NULL,
    poisonings        BIGINT   NOT NULL,
    lease_agent       TEXT     COLLATE "C",
    lease_secret      UUID,
    lease_ttl         BIGINT,
    lease_expires_at  BIGINT,
    question          UUID,
    cancel_reason     TEXT     COLLATE "C",
    created_by        TEXT     COLLATE "C" NOT NULL,
    created_at        BIGINT   NOT NULL,
    started_at        BIGINT,
    finished_at       BIGINT,
    failure           TEXT     COLLATE "C",
    result            TEXT     COLLATE "C",
    PRIMARY KEY (team, number)
) WITH (
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_analyze_scale_factor = 0.05
);

-- What was asked, apart from where it stands: a prompt of 100 kB isn't written
-- again with each of the task's moves. Tasks are found by their ids here, for
-- the same reason: an index on a row that moves is written with each move.
CREATE TABLE task_specs (
    team    INTEGER NOT NULL,
    number  BIGINT  NOT NULL,
    id      UUID    NOT NULL,
    spec    TEXT    COLLATE "C" NOT NULL,
    PRIMARY KEY (team, number)
);

CREATE UNIQUE INDEX task_specs_by_id ON task_specs (id);
-- Who is next. Its size is the number of queued tasks, whatever else there is.
CREATE INDEX tasks_queued ON tasks (team, lane, priority, ready_at, number)
    WHERE state = 'queued';
CREATE INDEX tasks_due ON tasks (due_at, team, number) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_leased ON tasks (team, lease_agent, number) WHERE lease_agent IS NOT NULL;
-- Every state but queued, running and succeeded: the common way doesn't touch it.
CREATE INDEX tasks_aside ON tasks (team, state, number)
    WHERE state IN ('blocked', 'scheduled', 'retrying', 'quota_wait', 'dead', 'cancelled',
                    'discarded');

CREATE TABLE task_labels (
    team    INTEGER NOT NULL,
    label   TEXT    COLLATE "C" NOT NULL,
    value   TEXT    COLLATE "C" NOT NULL,
    number  BIGINT  NOT NULL,
    PRIMARY KEY (team, label, value, number)
);

-- The dependency graph: `task` waits for `depends_on`.
CREATE TABLE edges (
    task        UUID    NOT NULL,
    depends_on  UUID    NOT NULL,
    team        INTEGER NOT NULL,
    condition   TEXT    COLLATE "C" NOT NULL,
    met         BOOLEAN NOT NULL,
    PRIMARY KEY (task, depends_on)
);

CREATE INDEX edges_by_dependency ON edges (depends_on, task);

CREATE TABLE attempts (
    task        UUID    NOT NULL,
    epoch       BIGINT  NOT NULL,
    team        INTEGER NOT NULL,
    agent       TEXT    COLLATE "C" NOT NULL,
    secret      UUID,
    started_at  BIGINT  NOT NULL,
    ended_at    BIGINT  NOT NULL,
    outcome     TEXT    COLLATE "C" NOT NULL,
    failure     TEXT    COLLATE "C",
    evidence    TEXT    COLLATE "C",
    PRIMARY KEY (task, epoch)
);

CREATE TABLE attempt_logs (
    task      UUID    NOT NULL,
    epoch     BIGINT  NOT NULL,
    position  BIGINT  NOT NULL,
    team      INTEGER NOT NULL,
    at        BIGINT  NOT NULL,
    bytes     BYTEA   NOT NULL,
    PRIMARY KEY (task, epoch, position)
);

-- How many bytes of output an attempt has, so that they needn't be added up.
CREATE TABLE attempt_log_sizes (
    task   UUID   NOT NULL,
    epoch  BIGINT NOT NULL,
    bytes  BIGINT NOT NULL,
    PRIMARY KEY (task, epoch)
);

CREATE TABLE artifacts (
    task   UUID    NOT NULL,
    name   TEXT    COLLATE "C" NOT NULL,
    team   INTEGER NOT NULL,
    bytes  BYTEA   NOT NULL,
    PRIMARY KEY (task, name)
);

CREATE TABLE agents (
    team           INTEGER NOT NULL,
    name           TEXT    COLLATE "C" NOT NULL,
    role           TEXT    COLLATE "C" NOT NULL,
    queues         TEXT    COLLATE "C" NOT NULL,
    slots          BIGINT  NOT NULL,
    description    TEXT    COLLATE "C" NOT NULL,
    draining       BOOLEAN NOT NULL,
    created_at     BIGINT  NOT NULL,
    registered_at  BIGINT  NOT NULL,
    -- How tasks reach it: 'http', or 'amqp' where there is a broker.
    transport      TEXT    COLLATE "C" NOT NULL,
    PRIMARY KEY (team, name)
);

CREATE TABLE queues (
    team        INTEGER NOT NULL,
    name        TEXT    COLLATE "C" NOT NULL,
    paused      BOOLEAN NOT NULL,
    created_at  BIGINT  NOT NULL,
    PRIMARY KEY (team, name)
);

-- API keys. The secret is never here, only its SHA-256. They name their team in
-- words: a key is looked up before its team is known.
CREATE TABLE api_keys (
    id           UUID   NOT NULL PRIMARY KEY,
    team         TEXT   COLLATE "C" NOT NULL,
    label        TEXT   COLLATE "C" NOT NULL,
    agent        TEXT   COLLATE "C",
    role         TEXT   COLLATE "C",
    secret_hash  BYTEA  NOT NULL,
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT
);

CREATE INDEX api_keys_by_team ON api_keys (team, created_at, id);

CREATE TABLE messages (
    id           UUID    NOT NULL PRIMARY KEY,
    team         INTEGER NOT NULL,
    sender       TEXT    COLLATE "C" NOT NULL,
    recipient    TEXT    COLLATE "C" NOT NULL,
    body         TEXT    COLLATE "C" NOT NULL,
    in_reply_to  UUID,
    sent_at      BIGINT  NOT NULL
);

CREATE TABLE deliveries (
    team        INTEGER NOT NULL,
    agent       TEXT    COLLATE "C" NOT NULL,
    position    BIGINT  NOT NULL,
    message     UUID    NOT NULL,
    receipt     TEXT    COLLATE "C" NOT NULL,
    receipt_at  BIGINT  NOT NULL,
    PRIMARY KEY (team, agent, position)
);

CREATE UNIQUE INDEX deliveries_by_message ON deliveries (message, agent);
CREATE INDEX deliveries_open ON deliveries (team, agent, position)
    WHERE receipt <> 'acknowledged';

CREATE TABLE questions (
    id           UUID    NOT NULL PRIMARY KEY,
    team         INTEGER NOT NULL,
    task         UUID    NOT NULL,
    agent        TEXT    COLLATE "C" NOT NULL,
    text         TEXT    COLLATE "C" NOT NULL,
    options      TEXT    COLLATE "C" NOT NULL,
    asked_at     BIGINT  NOT NULL,
    expires_at   BIGINT  NOT NULL,
    state        TEXT    COLLATE "C" NOT NULL,
    answer       TEXT    COLLATE "C",
    answered_by  TEXT    COLLATE "C",
    closed_at    BIGINT
);

CREATE INDEX questions_by_time ON questions (team, asked_at, id);
CREATE INDEX questions_by_state ON questions (team, state, asked_at, id);
CREATE INDEX questions_by_task ON questions (task, asked_at, id);

CREATE TABLE reservations (
    id          UUID    NOT NULL PRIMARY KEY,
    team        INTEGER NOT NULL,
    agent       TEXT    COLLATE "C" NOT NULL,
    task        UUID,
    epoch       BIGINT,
    repository  TEXT    COLLATE "C" NOT NULL,
    paths       TEXT    COLLATE "C" NOT NULL,
    shared      BOOLEAN NOT NULL,
    reason      TEXT    COLLATE "C" NOT NULL,
    created_at  BIGINT  NOT NULL,
    expires_at  BIGINT  NOT NULL
);

CREATE INDEX reservations_by_time ON reservations (team, created_at, id);
CREATE INDEX reservations_by_expiry ON reservations (expires_at, id);

CREATE TABLE schedules (
    id          UUID    NOT NULL PRIMARY KEY,
    team        INTEGER NOT NULL,
    name        TEXT    COLLATE "C" NOT NULL,
    cron        TEXT    COLLATE "C" NOT NULL,
    time_zone   TEXT    COLLATE "C" NOT NULL,
    spec        TEXT    COLLATE "C" NOT NULL,
    overlap     TEXT    COLLATE "C" NOT NULL,
    paused      BOOLEAN NOT NULL,
    next_at     BIGINT  NOT NULL,
    last_task   UUID,
    created_at  BIGINT  NOT NULL,
    UNIQUE (team, name)
);

CREATE INDEX schedules_due ON schedules (next_at, id) WHERE NOT paused;

CREATE TABLE events (
    team   INTEGER NOT NULL,
    seq    BIGINT  NOT NULL,
    at     BIGINT  NOT NULL,
    actor  TEXT    COLLATE "C" NOT NULL,
    task   UUID,
    fact   TEXT    COLLATE "C" NOT NULL,
    PRIMARY KEY (team, seq)
);

CREATE INDEX events_by_task ON events (task, seq) WHERE task IS NOT NULL;

-- Answers under idempotency keys.
CREATE TABLE answers (
    team          INTEGER NOT NULL,
    key           TEXT    COLLATE "C" NOT NULL,
    request_hash  BYTEA   NOT NULL,
    answer        TEXT    COLLATE "C" NOT NULL,
    at            BIGINT  NOT NULL,
    PRIMARY KEY (team, key)
);

CREATE INDEX answers_by_time ON answers (at);
