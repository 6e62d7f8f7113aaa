-- The first schema. Times are microseconds since 1970 in UTC, spans are
-- microseconds, identifiers are the 16 bytes of a UUID, states are core's words.
-- JSON is kept as text and only for what no statement looks into.
--
-- There are no foreign keys: rows that others point to are never deleted, and
-- each check would cost a look-up on the hot path.

-- Tasks and events are what there are many of. Both are kept under one integer,
-- `row`: the team's number times 2^44 plus their own number in the team. So they
-- are written at the end of each team's range, are found by number without an
-- index, and indexes over them end in that number. What is VIRTUAL is computed
-- from it, for whoever looks into the database. `tasks.team` isn't, although it
-- could be: an index over a computed column never answers a question alone.

CREATE TABLE teams (
    number      INTEGER NOT NULL PRIMARY KEY CHECK (number BETWEEN 1 AND 524287),
    name        TEXT    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL
) STRICT;

-- How many tasks a team has ever had, so that the succeeded ones needn't be counted.
CREATE TABLE task_totals (
    team   INTEGER NOT NULL PRIMARY KEY,
    tasks  INTEGER NOT NULL
) STRICT;

CREATE TABLE tasks (
    row               INTEGER NOT NULL PRIMARY KEY,
    number            INTEGER AS (row & 0xfffffffffff) VIRTUAL,
    team              INTEGER NOT NULL,
    id                BLOB    NOT NULL,
    lane              TEXT    NOT NULL,
    priority          INTEGER NOT NULL,
    state             TEXT    NOT NULL,
    waiting_on        INTEGER NOT NULL,
    ready_at          INTEGER NOT NULL,
    wake_at           INTEGER,
    due_at            INTEGER,
    epoch             INTEGER NOT NULL,
    attempts_used     INTEGER NOT NULL,
    poisonings        INTEGER NOT NULL,
    lease_agent       TEXT,
    lease_secret      BLOB,
    lease_ttl         INTEGER,
    lease_expires_at  INTEGER,
    question          BLOB,
    cancel_reason     TEXT,
    created_by        TEXT    NOT NULL,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    finished_at       INTEGER,
    failure           TEXT,
    result            TEXT
) STRICT;

-- What was asked, apart from where it stands: a prompt of 100 kB isn't written
-- again with each of the task's moves.
CREATE TABLE task_specs (
    row   INTEGER NOT NULL PRIMARY KEY,
    spec  TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX tasks_by_id ON tasks (id);
-- Who is next. Its size is the number of queued tasks, whatever else there is.
CREATE INDEX tasks_queued ON tasks (team, lane, priority, ready_at)
    WHERE state = 'queued';
CREATE INDEX tasks_due ON tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_leased ON tasks (team, lease_agent) WHERE lease_agent IS NOT NULL;
-- Every state but queued, running and succeeded: the common way doesn't touch it.
-- Written as a chain of OR, since SQLite then sees that one of them implies it.
CREATE INDEX tasks_aside ON tasks (team, state)
    WHERE state = 'blocked' OR state = 'scheduled' OR state = 'retrying'
       OR state = 'quota_wait' OR state = 'dead' OR state = 'cancelled'
       OR state = 'discarded';

CREATE TABLE task_labels (
    team   INTEGER NOT NULL,
    label  TEXT    NOT NULL,
    value  TEXT    NOT NULL,
    row    INTEGER NOT NULL,
    PRIMARY KEY (team, label, value, row)
) STRICT, WITHOUT ROWID;

-- The dependency graph: `task` waits for `depends_on`.
CREATE TABLE edges (
    task        BLOB    NOT NULL,
    depends_on  BLOB    NOT NULL,
    team        TEXT    NOT NULL,
    condition   TEXT    NOT NULL,
    met         INTEGER NOT NULL,
    PRIMARY KEY (task, depends_on)
) STRICT, WITHOUT ROWID;

CREATE INDEX edges_by_dependency ON edges (depends_on, task);

CREATE TABLE attempts (
    task        BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    team        TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    secret      BLOB,
    started_at  INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    outcome     TEXT    NOT NULL,
    failure     TEXT,
    evidence    TEXT,
    PRIMARY KEY (task, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt_logs (
    row       INTEGER NOT NULL PRIMARY KEY,
    task      BLOB    NOT NULL,
    epoch     INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    team      TEXT    NOT NULL,
    at        INTEGER NOT NULL,
    bytes     BLOB    NOT NULL,
    UNIQUE (task, epoch, position)
) STRICT;

-- How many bytes of output an attempt has, so that they needn't be added up.
CREATE TABLE attempt_log_sizes (
    task   BLOB    NOT NULL,
    epoch  INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    PRIMARY KEY (task, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
    row    INTEGER NOT NULL PRIMARY KEY,
    task   BLOB    NOT NULL,
    name   TEXT    NOT NULL,
    team   TEXT    NOT NULL,
    bytes  BLOB    NOT NULL,
    UNIQUE (task, name)
) STRICT;

CREATE TABLE agents (
    team           TEXT    NOT NULL,
    name           TEXT    NOT NULL,
    role           TEXT    NOT NULL,
    queues         TEXT    NOT NULL,
    slots          INTEGER NOT NULL,
    description    TEXT    NOT NULL,
    draining       INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    registered_at  INTEGER NOT NULL,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE queues (
    team        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    paused      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (team, name)
) STRICT, WITHOUT ROWID;

-- API keys. The secret is never here, only its SHA-256.
CREATE TABLE api_keys (
    id           BLOB    NOT NULL PRIMARY KEY,
    team         TEXT    NOT NULL,
    label        TEXT    NOT NULL,
    agent        TEXT,
    role         TEXT,
    secret_hash  BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX api_keys_by_team ON api_keys (team, created_at, id);

CREATE TABLE messages (
    row          INTEGER NOT NULL PRIMARY KEY,
    id           BLOB    NOT NULL UNIQUE,
    team         TEXT    NOT NULL,
    sender       TEXT    NOT NULL,
    recipient    TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    in_reply_to  BLOB,
    sent_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE deliveries (
    team        TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    message     BLOB    NOT NULL,
    receipt     TEXT    NOT NULL,
    receipt_at  INTEGER NOT NULL,
    PRIMARY KEY (team, agent, position)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX deliveries_by_message ON deliveries (message, agent);
CREATE INDEX deliveries_open ON deliveries (team, agent, position)
    WHERE receipt <> 'acknowledged';

CREATE TABLE questions (
    id           BLOB    NOT NULL PRIMARY KEY,
    team         TEXT    NOT NULL,
    task         BLOB    NOT NULL,
    agent        TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    options      TEXT    NOT NULL,
    asked_at     INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    state        TEXT    NOT NULL,
    answer       TEXT,
    answered_by  TEXT,
    closed_at    INTEGER
) STRICT;

CREATE INDEX questions_by_time ON questions (team, asked_at, id);
CREATE INDEX questions_by_state ON questions (team, state, asked_at, id);
CREATE INDEX questions_by_task ON questions (task, asked_at, id);

CREATE TABLE reservations (
    id          BLOB    NOT NULL PRIMARY KEY,
    team        TEXT    NOT NULL,
    agent       TEXT    NOT NULL,
    task        BLOB,
    epoch       INTEGER,
    repository  TEXT    NOT NULL,
    paths       TEXT    NOT NULL,
    shared      INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

CREATE INDEX reservations_by_time ON reservations (team, created_at, id);
CREATE INDEX reservations_by_expiry ON reservations (expires_at);

CREATE TABLE schedules (
    id          BLOB    NOT NULL PRIMARY KEY,
    team        TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    cron        TEXT    NOT NULL,
    time_zone   TEXT    NOT NULL,
    spec        TEXT    NOT NULL,
    overlap     TEXT    NOT NULL,
    paused      INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    last_task   BLOB,
    created_at  INTEGER NOT NULL,
    UNIQUE (team, name)
) STRICT;

CREATE INDEX schedules_due ON schedules (next_at) WHERE paused = 0;

CREATE TABLE events (
    row    INTEGER NOT NULL PRIMARY KEY,
    team   INTEGER AS (row >> 44) VIRTUAL,
    seq    INTEGER AS (row & 0xfffffffffff) VIRTUAL,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    task   BLOB,
    fact   TEXT    NOT NULL
) STRICT;

CREATE INDEX events_by_task ON events (task) WHERE task IS NOT NULL;

-- Answers under idempotency keys.
CREATE TABLE answers (
    row           INTEGER NOT NULL PRIMARY KEY,
    team          TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    request_hash  BLOB    NOT NULL,
    answer        TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    UNIQUE (team, key)
) STRICT;

CREATE INDEX answers_by_time ON answers (at);
