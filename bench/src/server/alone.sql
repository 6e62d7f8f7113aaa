-- Sixty-four task lives by plain statements, one transaction for each step, for
-- pgbench: the rows that the server writes, by one connection, without rules.
SELECT 64 * nextval('lives') AS base \gset
BEGIN;
SELECT last_seq FROM teams WHERE number = 1 FOR NO KEY UPDATE;
INSERT INTO tasks (team, number, id, lane, priority, state, waiting_on, ready_at, epoch,
    attempts_used, poisonings, created_by, created_at)
SELECT 1, :base::bigint + n, ('018f0a3c-0000-7000-8000-' || lpad(to_hex(:base::bigint + n), 12, '0'))::uuid,
    'queue/default', 2, 'queued', 0, :base::bigint + n, 0, 0, 0, 'admin', 1
FROM generate_series(1, 64) AS n;
INSERT INTO task_specs (team, number, id, spec)
SELECT 1, :base::bigint + n, ('018f0a3c-0000-7000-8000-' || lpad(to_hex(:base::bigint + n), 12, '0'))::uuid,
    '{"title":"Look into it","prompt":"Say what this is for.","queue":"default","retry":{"max_attempts": 3}}'
FROM generate_series(1, 64) AS n;
INSERT INTO events (team, seq, at, actor, task, fact)
SELECT 1, 3 * :base::bigint + n, 1, 'admin', ('018f0a3c-0000-7000-8000-' || lpad(to_hex(:base::bigint + n), 12, '0'))::uuid,
    '{"type":"task.created","lane":"queue/default","priority":"normal","state":"queued"}'
FROM generate_series(1, 64) AS n;
UPDATE teams SET last_seq = 3 * :base::bigint + 64 WHERE number = 1;
COMMIT;
BEGIN;
SELECT last_seq FROM teams WHERE number = 1 FOR NO KEY UPDATE;
UPDATE tasks SET state = 'running', epoch = 1, started_at = 2, due_at = 1000 + number,
    lease_agent = 'ada', lease_secret = id, lease_ttl = 30000000, lease_expires_at = 2
WHERE team = 1 AND number BETWEEN :base::bigint + 1 AND :base::bigint + 64;
SELECT * FROM tasks JOIN task_specs USING (team, number)
WHERE team = 1 AND number BETWEEN :base::bigint + 1 AND :base::bigint + 64;
INSERT INTO events (team, seq, at, actor, task, fact)
SELECT 1, 3 * :base::bigint + 64 + n, 2, 'ada', ('018f0a3c-0000-7000-8000-' || lpad(to_hex(:base::bigint + n), 12, '0'))::uuid,
    '{"type":"task.claimed","agent":"ada","epoch": 1,"ttl":"30s","lane":"queue/default"}'
FROM generate_series(1, 64) AS n;
UPDATE teams SET last_seq = 3 * :base::bigint + 128 WHERE number = 1;
COMMIT;
BEGIN;
SELECT last_seq FROM teams WHERE number = 1 FOR NO KEY UPDATE;
UPDATE tasks SET state = 'succeeded', attempts_used = 1, finished_at = 3, due_at = NULL,
    lease_agent = NULL, lease_secret = NULL, lease_ttl = NULL, lease_expires_at = NULL,
    result = '{"text":"It keeps the tasks. Nothing acknowledged is ever lost.","usage":{"seconds": 0.0}}'
WHERE team = 1 AND number BETWEEN :base::bigint + 1 AND :base::bigint + 64;
INSERT INTO attempts (task, epoch, team, agent, secret, started_at, ended_at, outcome)
SELECT id, 1, 1, 'ada', id, 2, 3, 'succeeded' FROM task_specs
WHERE team = 1 AND number BETWEEN :base::bigint + 1 AND :base::bigint + 64;
INSERT INTO events (team, seq, at, actor, task, fact)
SELECT 1, 3 * :base::bigint + 128 + n, 3, 'ada', ('018f0a3c-0000-7000-8000-' || lpad(to_hex(:base::bigint + n), 12, '0'))::uuid,
    '{"type":"task.succeeded","epoch": 1,"usage":{"seconds": 0.0}}'
FROM generate_series(1, 64) AS n;
UPDATE teams SET last_seq = 3 * :base::bigint + 192 WHERE number = 1;
COMMIT;
