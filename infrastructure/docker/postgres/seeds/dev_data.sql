-- Tasks to look at in development: a small team has made a login, one task is
-- dead, some wait. Made by tests/data/make_seeds.sh from what a real server
-- wrote; not by hand. Loaded once, into a team that has done nothing yet.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET search_path = public;

BEGIN;
SET LOCAL ROLE collective_app;
INSERT INTO teams (name, created_at) VALUES ('default', 1795578787032336) ON CONFLICT (name) DO NOTHING;
SELECT number AS team, last_seq = 0 AND tasks = 0 AS is_fresh FROM teams WHERE name = 'default' FOR UPDATE \gset
\if :is_fresh
INSERT INTO queues (team, name, paused, created_at) VALUES
    (:team, 'backend', 'f', '1795578787481819'),
    (:team, 'default', 'f', '1795578787032336'),
    (:team, 'docs', 'f', '1795578787573933'),
    (:team, 'frontend', 'f', '1795578787517749');
INSERT INTO agents (team, name, role, queues, slots, description, draining, created_at, registered_at, transport) VALUES
    (:team, 'ada', 'worker', '["backend"]', '1', 'Works on the backend', 't', '1795578787811715', '1795578787892292', 'http'),
    (:team, 'bob', 'worker', '["frontend"]', '1', 'Works on the frontend', 't', '1795578787808693', '1795578787931847', 'http');
INSERT INTO tasks (team, number, id, lane, priority, state, waiting_on, ready_at, wake_at, due_at, epoch, attempts_used, poisonings, lease_agent, lease_secret, lease_ttl, lease_expires_at, question, cancel_reason, created_by, created_at, started_at, finished_at, failure, result) VALUES
    (:team, '6', '01a210d5-f726-759f-abc7-fee65bc0ec5e', 'queue/backend', '2', 'succeeded', '0', '1795578787622491', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578787622491', '1795578787920361', '1795578788330274', NULL, '{"text":"Done: the folders, the linter and the first test.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.351311846}}'),
    (:team, '7', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', 'queue/backend', '1', 'succeeded', '0', '1795578788330274', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578787658341', '1795578788341999', '1795578788763545', NULL, '{"text":"Done: sessions out of memory, so that a restart logs nobody out.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.343365747}}'),
    (:team, '8', '01a210d5-f774-7747-a0e3-0cba855572cd', 'queue/frontend', '2', 'succeeded', '0', '1795578788330274', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578787700561', '1795578788341115', '1795578788750333', NULL, '{"text":"Done: a form with name, password and a clear error.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.343153929}}'),
    (:team, '9', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', 'queue/backend', '2', 'dead', '0', '1795578788868783', NULL, NULL, '2', '2', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578787737856', '1795578788889586', '1795578788989643', '{"class":"transient","reason":"attempts used up (2): the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL),
    (:team, '37', '01a210d5-fd9d-7d9d-8158-b64523a8cee7', 'queue/frontend', '1', 'queued', '0', '1795578789277720', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789277720', NULL, NULL, NULL, NULL),
    (:team, '38', '01a210d5-fdbe-7a4f-bdfe-6bf105b630f9', 'queue/docs', '2', 'blocked', '1', '1795578789310996', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789310996', NULL, NULL, NULL, NULL),
    (:team, '39', '01a210d5-fdec-7b20-9d56-0ca80f787efb', 'queue/backend', '2', 'blocked', '2', '1795578789356674', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789356674', NULL, NULL, NULL, NULL),
    (:team, '40', '01a210d5-fe1d-76ba-9912-65293e4d9952', 'queue/backend', '3', 'queued', '0', '1795578789405085', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789405085', NULL, NULL, NULL, NULL),
    (:team, '41', '01a210d5-fe52-7f3e-9f98-14e53842eff6', 'queue/backend', '2', 'scheduled', '0', '1795578789458022', '1925002800000000', '1925002800000000', '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789458022', NULL, NULL, NULL, NULL),
    (:team, '42', '01a210d5-fe63-75c6-aaa9-7d095ed5d201', 'queue/backend', '2', 'cancelled', '0', '1795578789475111', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795578789475111', NULL, '1795578789515177', '{"class":"permanent","reason":"We stay with the one that we have.","feedback":"","retry_at":null}', NULL);
INSERT INTO task_specs (team, number, id, spec) VALUES
    (:team, '6', '01a210d5-f726-759f-abc7-fee65bc0ec5e', '{"title":"Set up the repository","key":"setup","prompt":"Creates the folders, the linter and the first test.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"base"}}'),
    (:team, '7', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"title":"Store sessions in the database","key":"sessions","prompt":"Moves sessions out of memory, so that a restart logs nobody out.","queue":"backend","priority":"high","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a210d5-f726-759f-abc7-fee65bc0ec5e","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '8', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"title":"Write the login form","key":"form","prompt":"Builds a form with name, password and a clear error.","queue":"frontend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a210d5-f726-759f-abc7-fee65bc0ec5e","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '9', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"title":"Find why the login test is flaky","key":"flaky","prompt":"Fails one time in ten; find the reason.","queue":"backend","priority":"normal","retry":{"max_attempts":2,"initial_delay":"1ms","factor":2,"max_delay":"1ms"},"timeout":"1h","depends_on":[{"task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '37', '01a210d5-fd9d-7d9d-8158-b64523a8cee7', '{"title":"Review the login form","key":"review","prompt":"Checks the form on a phone, with a screen reader, and with a wrong password.","queue":"frontend","priority":"high","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a210d5-f774-7747-a0e3-0cba855572cd","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '38', '01a210d5-fdbe-7a4f-bdfe-6bf105b630f9', '{"title":"Describe the login in the handbook","key":"handbook","prompt":"Writes one page: how to log in, what to do when it fails.","queue":"docs","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a210d5-fd9d-7d9d-8158-b64523a8cee7","when":"succeeded"}],"labels":{"area":"docs"}}'),
    (:team, '39', '01a210d5-fdec-7b20-9d56-0ca80f787efb', '{"title":"Release the login","key":"release","prompt":"Tags the version and writes the notes.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a210d5-fd9d-7d9d-8158-b64523a8cee7","when":"succeeded"},{"task":"01a210d5-fdbe-7a4f-bdfe-6bf105b630f9","when":"succeeded"}],"labels":{"area":"base"}}'),
    (:team, '40', '01a210d5-fe1d-76ba-9912-65293e4d9952', '{"title":"Update the dependencies","key":"dependencies","prompt":"Updates what has a security fix, one commit each.","queue":"backend","priority":"low","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"base"}}'),
    (:team, '41', '01a210d5-fe52-7f3e-9f98-14e53842eff6', '{"title":"Renew the certificate","key":"certificate","prompt":"Renews the certificate of the staging server.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","run_at":"2031-01-01T03:00:00.000000Z","labels":{"area":"base"}}'),
    (:team, '42', '01a210d5-fe63-75c6-aaa9-7d095ed5d201', '{"title":"Try another login library","key":"library","prompt":"Compares three libraries by size and age.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"login"}}');
INSERT INTO task_labels (team, label, value, number) VALUES
    (:team, 'area', 'base', '6'),
    (:team, 'area', 'base', '39'),
    (:team, 'area', 'base', '40'),
    (:team, 'area', 'base', '41'),
    (:team, 'area', 'docs', '38'),
    (:team, 'area', 'login', '7'),
    (:team, 'area', 'login', '8'),
    (:team, 'area', 'login', '9'),
    (:team, 'area', 'login', '37'),
    (:team, 'area', 'login', '42');
INSERT INTO edges (task, depends_on, team, condition, met) VALUES
    ('01a210d5-f74a-7204-a5e6-3a901fde0dd0', '01a210d5-f726-759f-abc7-fee65bc0ec5e', :team, 'succeeded', 't'),
    ('01a210d5-f774-7747-a0e3-0cba855572cd', '01a210d5-f726-759f-abc7-fee65bc0ec5e', :team, 'succeeded', 't'),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', :team, 'succeeded', 't'),
    ('01a210d5-fd9d-7d9d-8158-b64523a8cee7', '01a210d5-f774-7747-a0e3-0cba855572cd', :team, 'succeeded', 't'),
    ('01a210d5-fdbe-7a4f-bdfe-6bf105b630f9', '01a210d5-fd9d-7d9d-8158-b64523a8cee7', :team, 'succeeded', 'f'),
    ('01a210d5-fdec-7b20-9d56-0ca80f787efb', '01a210d5-fd9d-7d9d-8158-b64523a8cee7', :team, 'succeeded', 'f'),
    ('01a210d5-fdec-7b20-9d56-0ca80f787efb', '01a210d5-fdbe-7a4f-bdfe-6bf105b630f9', :team, 'succeeded', 'f');
INSERT INTO attempts (task, epoch, team, agent, secret, started_at, ended_at, outcome, failure, evidence) VALUES
    ('01a210d5-f726-759f-abc7-fee65bc0ec5e', '1', :team, 'ada', NULL, '1795578787920361', '1795578788330274', 'succeeded', NULL, NULL),
    ('01a210d5-f74a-7204-a5e6-3a901fde0dd0', '1', :team, 'ada', NULL, '1795578788341999', '1795578788763545', 'succeeded', NULL, NULL),
    ('01a210d5-f774-7747-a0e3-0cba855572cd', '1', :team, 'bob', NULL, '1795578788341115', '1795578788750333', 'succeeded', NULL, NULL),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '1', :team, 'ada', NULL, '1795578788785145', '1795578788842287', 'failed', '{"class":"transient","reason":"the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '2', :team, 'ada', NULL, '1795578788889586', '1795578788989643', 'failed', '{"class":"transient","reason":"the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL);
INSERT INTO attempt_logs (task, epoch, position, team, at, bytes) VALUES
    ('01a210d5-f726-759f-abc7-fee65bc0ec5e', '1', '1', :team, '1795578788315946', '\x446f6e653a2074686520666f6c646572732c20746865206c696e74657220616e642074686520666972737420746573742e0a'),
    ('01a210d5-f74a-7204-a5e6-3a901fde0dd0', '1', '1', :team, '1795578788754590', '\x446f6e653a2073657373696f6e73206f7574206f66206d656d6f72792c20736f207468617420612072657374617274206c6f6773206e6f626f6479206f75742e0a'),
    ('01a210d5-f774-7747-a0e3-0cba855572cd', '1', '1', :team, '1795578788733491', '\x446f6e653a206120666f726d2077697468206e616d652c2070617373776f726420616e64206120636c656172206572726f722e0a'),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '1', '1', :team, '1795578788840204', '\x5468652074657374207374696c6c206661696c73206f6e652074696d6520696e2074656e2e0a'),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '2', '1', :team, '1795578788974875', '\x5468652074657374207374696c6c206661696c73206f6e652074696d6520696e2074656e2e0a');
INSERT INTO attempt_log_sizes (task, epoch, bytes) VALUES
    ('01a210d5-f726-759f-abc7-fee65bc0ec5e', '1', '50'),
    ('01a210d5-f74a-7204-a5e6-3a901fde0dd0', '1', '65'),
    ('01a210d5-f774-7747-a0e3-0cba855572cd', '1', '52'),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '1', '38'),
    ('01a210d5-f799-7d5c-836a-ea6f52b9eb24', '2', '38');
INSERT INTO messages (id, team, sender, recipient, body, in_reply_to, sent_at) VALUES
    ('01a210d5-fe9e-7034-b64f-53c88e7388d2', :team, 'ada', '{"agent":"bob"}', 'The form answers 422 for an empty name now; please check it in the review.', NULL, '1795578789534399');
INSERT INTO deliveries (team, agent, position, message, receipt, receipt_at) VALUES
    (:team, 'bob', '1', '01a210d5-fe9e-7034-b64f-53c88e7388d2', 'durable', '1795578789534399');
INSERT INTO schedules (id, team, name, cron, time_zone, spec, overlap, paused, next_at, last_task, created_at) VALUES
    ('01a210d5-fedc-78d3-8cdc-4e562068b157', :team, 'nightly', '0 3 * * *', 'UTC', '{"title":"Run the slow tests","prompt":"Runs the tests that take longer than a minute.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h"}', 'skip', 't', '1795662000000000', NULL, '1795578789596057');
INSERT INTO events (team, seq, at, actor, task, fact) VALUES
    (:team, '1', '1795578787032336', 'server', NULL, '{"type":"team.created","name":"default"}'),
    (:team, '2', '1795578787032336', 'server', NULL, '{"type":"queue.declared","queue":"default"}'),
    (:team, '3', '1795578787481819', 'admin', NULL, '{"type":"queue.declared","queue":"backend"}'),
    (:team, '4', '1795578787517749', 'admin', NULL, '{"type":"queue.declared","queue":"frontend"}'),
    (:team, '5', '1795578787573933', 'admin', NULL, '{"type":"queue.declared","queue":"docs"}'),
    (:team, '6', '1795578787622491', 'admin', '01a210d5-f726-759f-abc7-fee65bc0ec5e', '{"type":"task.created","task":"01a210d5-f726-759f-abc7-fee65bc0ec5e","title":"Set up the repository","key":"setup","lane":"queue/backend","priority":"normal","state":"queued","waiting_on":0}'),
    (:team, '7', '1795578787658341', 'admin', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"type":"task.created","task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","title":"Store sessions in the database","key":"sessions","lane":"queue/backend","priority":"high","state":"blocked","waiting_on":1}'),
    (:team, '8', '1795578787700561', 'admin', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"type":"task.created","task":"01a210d5-f774-7747-a0e3-0cba855572cd","title":"Write the login form","key":"form","lane":"queue/frontend","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '9', '1795578787737856', 'admin', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.created","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","title":"Find why the login test is flaky","key":"flaky","lane":"queue/backend","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '10', '1795578787808693', 'admin', NULL, '{"type":"agent.registered","agent":"bob","spec":{"role":"worker","queues":["frontend"],"slots":1,"description":"Works on the frontend"}}'),
    (:team, '11', '1795578787811715', 'admin', NULL, '{"type":"agent.registered","agent":"ada","spec":{"role":"worker","queues":["backend"],"slots":1,"description":"Works on the backend"}}'),
    (:team, '12', '1795578787842262', 'admin', NULL, '{"type":"key.created","key":"01a210d5-f802-7bd7-8542-0d4f584a4438","label":"agent run bob","role":"worker","agent":"bob"}'),
    (:team, '13', '1795578787844330', 'admin', NULL, '{"type":"key.created","key":"01a210d5-f804-7c2e-baf0-e426602325f3","label":"agent run ada","role":"worker","agent":"ada"}'),
    (:team, '14', '1795578787920361', 'agent:ada', '01a210d5-f726-759f-abc7-fee65bc0ec5e', '{"type":"task.claimed","task":"01a210d5-f726-759f-abc7-fee65bc0ec5e","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '15', '1795578788330274', 'agent:ada', '01a210d5-f726-759f-abc7-fee65bc0ec5e', '{"type":"task.succeeded","task":"01a210d5-f726-759f-abc7-fee65bc0ec5e","epoch":1,"agent":"ada","lane":"queue/backend","ran":"409ms913us"}'),
    (:team, '16', '1795578788330274', 'agent:ada', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"type":"task.dependency_met","task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","dependency":"01a210d5-f726-759f-abc7-fee65bc0ec5e","waiting_on":0}'),
    (:team, '17', '1795578788330274', 'agent:ada', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"type":"task.queued","task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","lane":"queue/backend","priority":"high","ready_at":"2026-11-25T03:53:08.330274Z","cause":"dependencies"}'),
    (:team, '18', '1795578788330274', 'agent:ada', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"type":"task.dependency_met","task":"01a210d5-f774-7747-a0e3-0cba855572cd","dependency":"01a210d5-f726-759f-abc7-fee65bc0ec5e","waiting_on":0}'),
    (:team, '19', '1795578788330274', 'agent:ada', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"type":"task.queued","task":"01a210d5-f774-7747-a0e3-0cba855572cd","lane":"queue/frontend","priority":"normal","ready_at":"2026-11-25T03:53:08.330274Z","cause":"dependencies"}'),
    (:team, '20', '1795578788341115', 'agent:bob', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"type":"task.claimed","task":"01a210d5-f774-7747-a0e3-0cba855572cd","agent":"bob","epoch":1,"ttl":"30s"}'),
    (:team, '21', '1795578788341999', 'agent:ada', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"type":"task.claimed","task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '22', '1795578788750333', 'agent:bob', '01a210d5-f774-7747-a0e3-0cba855572cd', '{"type":"task.succeeded","task":"01a210d5-f774-7747-a0e3-0cba855572cd","epoch":1,"agent":"bob","lane":"queue/frontend","ran":"409ms218us"}'),
    (:team, '23', '1795578788763545', 'agent:ada', '01a210d5-f74a-7204-a5e6-3a901fde0dd0', '{"type":"task.succeeded","task":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","epoch":1,"agent":"ada","lane":"queue/backend","ran":"421ms546us"}'),
    (:team, '24', '1795578788763545', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.dependency_met","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","dependency":"01a210d5-f74a-7204-a5e6-3a901fde0dd0","waiting_on":0}'),
    (:team, '25', '1795578788763545', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.queued","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","lane":"queue/backend","priority":"normal","ready_at":"2026-11-25T03:53:08.763545Z","cause":"dependencies"}'),
    (:team, '26', '1795578788785145', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.claimed","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '27', '1795578788842287', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.attempt_failed","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","epoch":1,"agent":"ada","outcome":"failed","class":"transient","reason":"the command ended with exit code 1","counted":true,"lane":"queue/backend","ran":"57ms142us"}'),
    (:team, '28', '1795578788842287', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.retrying","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","wake_at":"2026-11-25T03:53:08.842730Z"}'),
    (:team, '29', '1795578788868783', 'server', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.queued","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","lane":"queue/backend","priority":"normal","ready_at":"2026-11-25T03:53:08.868783Z","cause":"due"}'),
    (:team, '30', '1795578788889586', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.claimed","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","agent":"ada","epoch":2,"ttl":"30s"}'),
    (:team, '31', '1795578788989643', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.attempt_failed","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","epoch":2,"agent":"ada","outcome":"failed","class":"transient","reason":"the command ended with exit code 1","counted":true,"lane":"queue/backend","ran":"100ms57us"}'),
    (:team, '32', '1795578788989643', 'agent:ada', '01a210d5-f799-7d5c-836a-ea6f52b9eb24', '{"type":"task.dead","task":"01a210d5-f799-7d5c-836a-ea6f52b9eb24","class":"transient","reason":"attempts used up (2): the command ended with exit code 1","lane":"queue/backend"}'),
    (:team, '33', '1795578789011928', 'agent:ada', NULL, '{"type":"agent.draining","agent":"ada","draining":true}'),
    (:team, '34', '1795578789078673', 'admin', NULL, '{"type":"key.revoked","key":"01a210d5-f804-7c2e-baf0-e426602325f3"}'),
    (:team, '35', '1795578789141811', 'agent:bob', NULL, '{"type":"agent.draining","agent":"bob","draining":true}'),
    (:team, '36', '1795578789185755', 'admin', NULL, '{"type":"key.revoked","key":"01a210d5-f802-7bd7-8542-0d4f584a4438"}'),
    (:team, '37', '1795578789277720', 'admin', '01a210d5-fd9d-7d9d-8158-b64523a8cee7', '{"type":"task.created","task":"01a210d5-fd9d-7d9d-8158-b64523a8cee7","title":"Review the login form","key":"review","lane":"queue/frontend","priority":"high","state":"queued","waiting_on":0}'),
    (:team, '38', '1795578789310996', 'admin', '01a210d5-fdbe-7a4f-bdfe-6bf105b630f9', '{"type":"task.created","task":"01a210d5-fdbe-7a4f-bdfe-6bf105b630f9","title":"Describe the login in the handbook","key":"handbook","lane":"queue/docs","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '39', '1795578789356674', 'admin', '01a210d5-fdec-7b20-9d56-0ca80f787efb', '{"type":"task.created","task":"01a210d5-fdec-7b20-9d56-0ca80f787efb","title":"Release the login","key":"release","lane":"queue/backend","priority":"normal","state":"blocked","waiting_on":2}'),
    (:team, '40', '1795578789405085', 'admin', '01a210d5-fe1d-76ba-9912-65293e4d9952', '{"type":"task.created","task":"01a210d5-fe1d-76ba-9912-65293e4d9952","title":"Update the dependencies","key":"dependencies","lane":"queue/backend","priority":"low","state":"queued","waiting_on":0}'),
    (:team, '41', '1795578789458022', 'admin', '01a210d5-fe52-7f3e-9f98-14e53842eff6', '{"type":"task.created","task":"01a210d5-fe52-7f3e-9f98-14e53842eff6","title":"Renew the certificate","key":"certificate","lane":"queue/backend","priority":"normal","state":"scheduled","waiting_on":0,"wake_at":"2031-01-01T03:00:00.000000Z"}'),
    (:team, '42', '1795578789475111', 'admin', '01a210d5-fe63-75c6-aaa9-7d095ed5d201', '{"type":"task.created","task":"01a210d5-fe63-75c6-aaa9-7d095ed5d201","title":"Try another login library","key":"library","lane":"queue/backend","priority":"normal","state":"queued","waiting_on":0}'),
    (:team, '43', '1795578789515177', 'admin', '01a210d5-fe63-75c6-aaa9-7d095ed5d201', '{"type":"task.cancelled","task":"01a210d5-fe63-75c6-aaa9-7d095ed5d201","class":"permanent","reason":"We stay with the one that we have.","lane":"queue/backend"}'),
    (:team, '44', '1795578789534399', 'admin', NULL, '{"type":"message.sent","message":"01a210d5-fe9e-7034-b64f-53c88e7388d2","from":"ada","to":{"agent":"bob"},"recipients":["bob"]}'),
    (:team, '45', '1795578789596057', 'admin', NULL, '{"type":"schedule.set","schedule":"01a210d5-fedc-78d3-8cdc-4e562068b157","name":"nightly","cron":"0 3 * * *","paused":false}'),
    (:team, '46', '1795578789652003', 'admin', NULL, '{"type":"schedule.set","schedule":"01a210d5-fedc-78d3-8cdc-4e562068b157","name":"nightly","cron":"0 3 * * *","paused":true}');
UPDATE teams SET last_seq = 46, tasks = 10 WHERE number = :team;
\echo seeds: 10 tasks are loaded into the team default
\else
\echo seeds: the team default has done something already; nothing is loaded
\endif
COMMIT;
