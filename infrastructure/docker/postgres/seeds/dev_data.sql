-- Tasks to look at in development: a small team has made a login, one task is
-- dead, some wait. Made by tests/data/make_seeds.sh from what a real server
-- wrote; not by hand. Loaded once, into a team that has done nothing yet.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET search_path = public;

BEGIN;
SET LOCAL ROLE collective_app;
INSERT INTO teams (name, created_at) VALUES ('default', 1795567466538615) ON CONFLICT (name) DO NOTHING;
SELECT number AS team, last_seq = 0 AND tasks = 0 AS is_fresh FROM teams WHERE name = 'default' FOR UPDATE \gset
\if :is_fresh
INSERT INTO queues (team, name, paused, created_at) VALUES
    (:team, 'backend', 'f', '1795567467073642'),
    (:team, 'default', 'f', '1795567466538615'),
    (:team, 'docs', 'f', '1795567467178834'),
    (:team, 'frontend', 'f', '1795567467127934');
INSERT INTO agents (team, name, role, queues, slots, description, draining, created_at, registered_at, transport) VALUES
    (:team, 'ada', 'worker', '["backend"]', '1', 'Works on the backend', 't', '1795567467411548', '1795567467528450', 'http'),
    (:team, 'bob', 'worker', '["frontend"]', '1', 'Works on the frontend', 't', '1795567467421862', '1795567467504505', 'http');
INSERT INTO tasks (team, number, id, lane, priority, state, waiting_on, ready_at, wake_at, due_at, epoch, attempts_used, poisonings, lease_agent, lease_secret, lease_ttl, lease_expires_at, question, cancel_reason, created_by, created_at, started_at, finished_at, failure, result) VALUES
    (:team, '6', '01a21029-3ada-7a04-88dd-b8c06cd22c38', 'queue/backend', '2', 'succeeded', '0', '1795567467226365', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567467226365', '1795567467542366', '1795567467902200', NULL, '{"text":"Done: the folders, the linter and the first test.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.336086186}}'),
    (:team, '7', '01a21029-3b13-7a91-93a0-25c74e7c647f', 'queue/backend', '1', 'succeeded', '0', '1795567467902200', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567467283283', '1795567467909355', '1795567468300873', NULL, '{"text":"Done: sessions out of memory, so that a restart logs nobody out.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.344315157}}'),
    (:team, '8', '01a21029-3b32-745f-93d8-2bbfc54cf8da', 'queue/frontend', '2', 'succeeded', '0', '1795567467902200', NULL, NULL, '1', '1', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567467314069', '1795567467908292', '1795567468289921', NULL, '{"text":"Done: a form with name, password and a clear error.\n","usage":{"input_tokens":0,"output_tokens":0,"cost_micro_usd":0,"seconds":0.346888973}}'),
    (:team, '9', '01a21029-3b57-7acb-85e6-ca28659af01c', 'queue/backend', '2', 'dead', '0', '1795567468410957', NULL, NULL, '2', '2', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567467351839', '1795567468423071', '1795567468479036', '{"class":"transient","reason":"attempts used up (2): the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL),
    (:team, '37', '01a21029-40c6-7957-b64a-e004058b411f', 'queue/frontend', '1', 'queued', '0', '1795567468742632', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468742632', NULL, NULL, NULL, NULL),
    (:team, '38', '01a21029-40e7-7261-9644-6a67c052ce3a', 'queue/docs', '2', 'blocked', '1', '1795567468775259', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468775259', NULL, NULL, NULL, NULL),
    (:team, '39', '01a21029-410f-785b-bdf3-4bf242090ca7', 'queue/backend', '2', 'blocked', '2', '1795567468815050', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468815050', NULL, NULL, NULL, NULL),
    (:team, '40', '01a21029-4138-752f-8394-0257969df54b', 'queue/backend', '3', 'queued', '0', '1795567468856689', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468856689', NULL, NULL, NULL, NULL),
    (:team, '41', '01a21029-4159-772e-9fb1-c05180437306', 'queue/backend', '2', 'scheduled', '0', '1795567468889609', '1925002800000000', '1925002800000000', '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468889609', NULL, NULL, NULL, NULL),
    (:team, '42', '01a21029-4176-7b47-b5ad-a22191cd88b4', 'queue/backend', '2', 'cancelled', '0', '1795567468918571', NULL, NULL, '0', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, 'admin', '1795567468918571', NULL, '1795567468961455', '{"class":"permanent","reason":"We stay with the one that we have.","feedback":"","retry_at":null}', NULL);
INSERT INTO task_specs (team, number, spec) VALUES
    (:team, '6', '{"title":"Set up the repository","key":"setup","prompt":"Creates the folders, the linter and the first test.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"base"}}'),
    (:team, '7', '{"title":"Store sessions in the database","key":"sessions","prompt":"Moves sessions out of memory, so that a restart logs nobody out.","queue":"backend","priority":"high","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a21029-3ada-7a04-88dd-b8c06cd22c38","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '8', '{"title":"Write the login form","key":"form","prompt":"Builds a form with name, password and a clear error.","queue":"frontend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a21029-3ada-7a04-88dd-b8c06cd22c38","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '9', '{"title":"Find why the login test is flaky","key":"flaky","prompt":"Fails one time in ten; find the reason.","queue":"backend","priority":"normal","retry":{"max_attempts":2,"initial_delay":"1ms","factor":2,"max_delay":"1ms"},"timeout":"1h","depends_on":[{"task":"01a21029-3b13-7a91-93a0-25c74e7c647f","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '37', '{"title":"Review the login form","key":"review","prompt":"Checks the form on a phone, with a screen reader, and with a wrong password.","queue":"frontend","priority":"high","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","when":"succeeded"}],"labels":{"area":"login"}}'),
    (:team, '38', '{"title":"Describe the login in the handbook","key":"handbook","prompt":"Writes one page: how to log in, what to do when it fails.","queue":"docs","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a21029-40c6-7957-b64a-e004058b411f","when":"succeeded"}],"labels":{"area":"docs"}}'),
    (:team, '39', '{"title":"Release the login","key":"release","prompt":"Tags the version and writes the notes.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","depends_on":[{"task":"01a21029-40c6-7957-b64a-e004058b411f","when":"succeeded"},{"task":"01a21029-40e7-7261-9644-6a67c052ce3a","when":"succeeded"}],"labels":{"area":"base"}}'),
    (:team, '40', '{"title":"Update the dependencies","key":"dependencies","prompt":"Updates what has a security fix, one commit each.","queue":"backend","priority":"low","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"base"}}'),
    (:team, '41', '{"title":"Renew the certificate","key":"certificate","prompt":"Renews the certificate of the staging server.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","run_at":"2031-01-01T03:00:00.000000Z","labels":{"area":"base"}}'),
    (:team, '42', '{"title":"Try another login library","key":"library","prompt":"Compares three libraries by size and age.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h","labels":{"area":"login"}}');
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
    ('01a21029-3b13-7a91-93a0-25c74e7c647f', '01a21029-3ada-7a04-88dd-b8c06cd22c38', :team, 'succeeded', 't'),
    ('01a21029-3b32-745f-93d8-2bbfc54cf8da', '01a21029-3ada-7a04-88dd-b8c06cd22c38', :team, 'succeeded', 't'),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '01a21029-3b13-7a91-93a0-25c74e7c647f', :team, 'succeeded', 't'),
    ('01a21029-40c6-7957-b64a-e004058b411f', '01a21029-3b32-745f-93d8-2bbfc54cf8da', :team, 'succeeded', 't'),
    ('01a21029-40e7-7261-9644-6a67c052ce3a', '01a21029-40c6-7957-b64a-e004058b411f', :team, 'succeeded', 'f'),
    ('01a21029-410f-785b-bdf3-4bf242090ca7', '01a21029-40c6-7957-b64a-e004058b411f', :team, 'succeeded', 'f'),
    ('01a21029-410f-785b-bdf3-4bf242090ca7', '01a21029-40e7-7261-9644-6a67c052ce3a', :team, 'succeeded', 'f');
INSERT INTO attempts (task, epoch, team, agent, secret, started_at, ended_at, outcome, failure, evidence) VALUES
    ('01a21029-3ada-7a04-88dd-b8c06cd22c38', '1', :team, 'ada', NULL, '1795567467542366', '1795567467902200', 'succeeded', NULL, NULL),
    ('01a21029-3b13-7a91-93a0-25c74e7c647f', '1', :team, 'ada', NULL, '1795567467909355', '1795567468300873', 'succeeded', NULL, NULL),
    ('01a21029-3b32-745f-93d8-2bbfc54cf8da', '1', :team, 'bob', NULL, '1795567467908292', '1795567468289921', 'succeeded', NULL, NULL),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '1', :team, 'ada', NULL, '1795567468332623', '1795567468401354', 'failed', '{"class":"transient","reason":"the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '2', :team, 'ada', NULL, '1795567468423071', '1795567468479036', 'failed', '{"class":"transient","reason":"the command ended with exit code 1","feedback":"The test still fails one time in ten.\n","retry_at":null}', NULL);
INSERT INTO attempt_logs (task, epoch, position, team, at, bytes) VALUES
    ('01a21029-3ada-7a04-88dd-b8c06cd22c38', '1', '1', :team, '1795567467889173', '\x446f6e653a2074686520666f6c646572732c20746865206c696e74657220616e642074686520666972737420746573742e0a'),
    ('01a21029-3b13-7a91-93a0-25c74e7c647f', '1', '1', :team, '1795567468287254', '\x446f6e653a2073657373696f6e73206f7574206f66206d656d6f72792c20736f207468617420612072657374617274206c6f6773206e6f626f6479206f75742e0a'),
    ('01a21029-3b32-745f-93d8-2bbfc54cf8da', '1', '1', :team, '1795567468278911', '\x446f6e653a206120666f726d2077697468206e616d652c2070617373776f726420616e64206120636c656172206572726f722e0a'),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '1', '1', :team, '1795567468384561', '\x5468652074657374207374696c6c206661696c73206f6e652074696d6520696e2074656e2e0a'),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '2', '1', :team, '1795567468471169', '\x5468652074657374207374696c6c206661696c73206f6e652074696d6520696e2074656e2e0a');
INSERT INTO attempt_log_sizes (task, epoch, bytes) VALUES
    ('01a21029-3ada-7a04-88dd-b8c06cd22c38', '1', '50'),
    ('01a21029-3b13-7a91-93a0-25c74e7c647f', '1', '65'),
    ('01a21029-3b32-745f-93d8-2bbfc54cf8da', '1', '52'),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '1', '38'),
    ('01a21029-3b57-7acb-85e6-ca28659af01c', '2', '38');
INSERT INTO messages (id, team, sender, recipient, body, in_reply_to, sent_at) VALUES
    ('01a21029-41c4-7ba6-8503-2acf2434891d', :team, 'ada', '{"agent":"bob"}', 'The form answers 422 for an empty name now; please check it in the review.', NULL, '1795567468996049');
INSERT INTO deliveries (team, agent, position, message, receipt, receipt_at) VALUES
    (:team, 'bob', '1', '01a21029-41c4-7ba6-8503-2acf2434891d', 'durable', '1795567468996049');
INSERT INTO schedules (id, team, name, cron, time_zone, spec, overlap, paused, next_at, last_task, created_at) VALUES
    ('01a21029-41de-7ecd-8672-f754276e9b31', :team, 'nightly', '0 3 * * *', 'UTC', '{"title":"Run the slow tests","prompt":"Runs the tests that take longer than a minute.","queue":"backend","priority":"normal","retry":{"max_attempts":3,"initial_delay":"1s","factor":2,"max_delay":"5m"},"timeout":"1h"}', 'skip', 't', '1795575600000000', NULL, '1795567469022218');
INSERT INTO events (team, seq, at, actor, task, fact) VALUES
    (:team, '1', '1795567466538615', 'server', NULL, '{"type":"team.created","name":"default"}'),
    (:team, '2', '1795567466538615', 'server', NULL, '{"type":"queue.declared","queue":"default"}'),
    (:team, '3', '1795567467073642', 'admin', NULL, '{"type":"queue.declared","queue":"backend"}'),
    (:team, '4', '1795567467127934', 'admin', NULL, '{"type":"queue.declared","queue":"frontend"}'),
    (:team, '5', '1795567467178834', 'admin', NULL, '{"type":"queue.declared","queue":"docs"}'),
    (:team, '6', '1795567467226365', 'admin', '01a21029-3ada-7a04-88dd-b8c06cd22c38', '{"type":"task.created","task":"01a21029-3ada-7a04-88dd-b8c06cd22c38","title":"Set up the repository","key":"setup","lane":"queue/backend","priority":"normal","state":"queued","waiting_on":0}'),
    (:team, '7', '1795567467283283', 'admin', '01a21029-3b13-7a91-93a0-25c74e7c647f', '{"type":"task.created","task":"01a21029-3b13-7a91-93a0-25c74e7c647f","title":"Store sessions in the database","key":"sessions","lane":"queue/backend","priority":"high","state":"blocked","waiting_on":1}'),
    (:team, '8', '1795567467314069', 'admin', '01a21029-3b32-745f-93d8-2bbfc54cf8da', '{"type":"task.created","task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","title":"Write the login form","key":"form","lane":"queue/frontend","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '9', '1795567467351839', 'admin', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.created","task":"01a21029-3b57-7acb-85e6-ca28659af01c","title":"Find why the login test is flaky","key":"flaky","lane":"queue/backend","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '10', '1795567467411548', 'admin', NULL, '{"type":"agent.registered","agent":"ada","spec":{"role":"worker","queues":["backend"],"slots":1,"description":"Works on the backend"}}'),
    (:team, '11', '1795567467421862', 'admin', NULL, '{"type":"agent.registered","agent":"bob","spec":{"role":"worker","queues":["frontend"],"slots":1,"description":"Works on the frontend"}}'),
    (:team, '12', '1795567467432633', 'admin', NULL, '{"type":"key.created","key":"01a21029-3ba8-706c-8206-54110800a91a","label":"agent run bob","role":"worker","agent":"bob"}'),
    (:team, '13', '1795567467437494', 'admin', NULL, '{"type":"key.created","key":"01a21029-3bad-7728-8ca4-8372cba7045d","label":"agent run ada","role":"worker","agent":"ada"}'),
    (:team, '14', '1795567467542366', 'agent:ada', '01a21029-3ada-7a04-88dd-b8c06cd22c38', '{"type":"task.claimed","task":"01a21029-3ada-7a04-88dd-b8c06cd22c38","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '15', '1795567467902200', 'agent:ada', '01a21029-3ada-7a04-88dd-b8c06cd22c38', '{"type":"task.succeeded","task":"01a21029-3ada-7a04-88dd-b8c06cd22c38","epoch":1,"agent":"ada","lane":"queue/backend","ran":"359ms834us"}'),
    (:team, '16', '1795567467902200', 'agent:ada', '01a21029-3b13-7a91-93a0-25c74e7c647f', '{"type":"task.dependency_met","task":"01a21029-3b13-7a91-93a0-25c74e7c647f","dependency":"01a21029-3ada-7a04-88dd-b8c06cd22c38","waiting_on":0}'),
    (:team, '17', '1795567467902200', 'agent:ada', '01a21029-3b13-7a91-93a0-25c74e7c647f', '{"type":"task.queued","task":"01a21029-3b13-7a91-93a0-25c74e7c647f","lane":"queue/backend","priority":"high","ready_at":"2026-11-25T00:44:27.902200Z","cause":"dependencies"}'),
    (:team, '18', '1795567467902200', 'agent:ada', '01a21029-3b32-745f-93d8-2bbfc54cf8da', '{"type":"task.dependency_met","task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","dependency":"01a21029-3ada-7a04-88dd-b8c06cd22c38","waiting_on":0}'),
    (:team, '19', '1795567467902200', 'agent:ada', '01a21029-3b32-745f-93d8-2bbfc54cf8da', '{"type":"task.queued","task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","lane":"queue/frontend","priority":"normal","ready_at":"2026-11-25T00:44:27.902200Z","cause":"dependencies"}'),
    (:team, '20', '1795567467908292', 'agent:bob', '01a21029-3b32-745f-93d8-2bbfc54cf8da', '{"type":"task.claimed","task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","agent":"bob","epoch":1,"ttl":"30s"}'),
    (:team, '21', '1795567467909355', 'agent:ada', '01a21029-3b13-7a91-93a0-25c74e7c647f', '{"type":"task.claimed","task":"01a21029-3b13-7a91-93a0-25c74e7c647f","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '22', '1795567468289921', 'agent:bob', '01a21029-3b32-745f-93d8-2bbfc54cf8da', '{"type":"task.succeeded","task":"01a21029-3b32-745f-93d8-2bbfc54cf8da","epoch":1,"agent":"bob","lane":"queue/frontend","ran":"381ms629us"}'),
    (:team, '23', '1795567468300873', 'agent:ada', '01a21029-3b13-7a91-93a0-25c74e7c647f', '{"type":"task.succeeded","task":"01a21029-3b13-7a91-93a0-25c74e7c647f","epoch":1,"agent":"ada","lane":"queue/backend","ran":"391ms518us"}'),
    (:team, '24', '1795567468300873', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.dependency_met","task":"01a21029-3b57-7acb-85e6-ca28659af01c","dependency":"01a21029-3b13-7a91-93a0-25c74e7c647f","waiting_on":0}'),
    (:team, '25', '1795567468300873', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.queued","task":"01a21029-3b57-7acb-85e6-ca28659af01c","lane":"queue/backend","priority":"normal","ready_at":"2026-11-25T00:44:28.300873Z","cause":"dependencies"}'),
    (:team, '26', '1795567468332623', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.claimed","task":"01a21029-3b57-7acb-85e6-ca28659af01c","agent":"ada","epoch":1,"ttl":"30s"}'),
    (:team, '27', '1795567468401354', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.attempt_failed","task":"01a21029-3b57-7acb-85e6-ca28659af01c","epoch":1,"agent":"ada","outcome":"failed","class":"transient","reason":"the command ended with exit code 1","counted":true,"lane":"queue/backend","ran":"68ms731us"}'),
    (:team, '28', '1795567468401354', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.retrying","task":"01a21029-3b57-7acb-85e6-ca28659af01c","wake_at":"2026-11-25T00:44:28.401504Z"}'),
    (:team, '29', '1795567468410957', 'server', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.queued","task":"01a21029-3b57-7acb-85e6-ca28659af01c","lane":"queue/backend","priority":"normal","ready_at":"2026-11-25T00:44:28.410957Z","cause":"due"}'),
    (:team, '30', '1795567468423071', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.claimed","task":"01a21029-3b57-7acb-85e6-ca28659af01c","agent":"ada","epoch":2,"ttl":"30s"}'),
    (:team, '31', '1795567468479036', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.attempt_failed","task":"01a21029-3b57-7acb-85e6-ca28659af01c","epoch":2,"agent":"ada","outcome":"failed","class":"transient","reason":"the command ended with exit code 1","counted":true,"lane":"queue/backend","ran":"55ms965us"}'),
    (:team, '32', '1795567468479036', 'agent:ada', '01a21029-3b57-7acb-85e6-ca28659af01c', '{"type":"task.dead","task":"01a21029-3b57-7acb-85e6-ca28659af01c","class":"transient","reason":"attempts used up (2): the command ended with exit code 1","lane":"queue/backend"}'),
    (:team, '33', '1795567468501874', 'agent:ada', NULL, '{"type":"agent.draining","agent":"ada","draining":true}'),
    (:team, '34', '1795567468540378', 'admin', NULL, '{"type":"key.revoked","key":"01a21029-3bad-7728-8ca4-8372cba7045d"}'),
    (:team, '35', '1795567468610865', 'agent:bob', NULL, '{"type":"agent.draining","agent":"bob","draining":true}'),
    (:team, '36', '1795567468647678', 'admin', NULL, '{"type":"key.revoked","key":"01a21029-3ba8-706c-8206-54110800a91a"}'),
    (:team, '37', '1795567468742632', 'admin', '01a21029-40c6-7957-b64a-e004058b411f', '{"type":"task.created","task":"01a21029-40c6-7957-b64a-e004058b411f","title":"Review the login form","key":"review","lane":"queue/frontend","priority":"high","state":"queued","waiting_on":0}'),
    (:team, '38', '1795567468775259', 'admin', '01a21029-40e7-7261-9644-6a67c052ce3a', '{"type":"task.created","task":"01a21029-40e7-7261-9644-6a67c052ce3a","title":"Describe the login in the handbook","key":"handbook","lane":"queue/docs","priority":"normal","state":"blocked","waiting_on":1}'),
    (:team, '39', '1795567468815050', 'admin', '01a21029-410f-785b-bdf3-4bf242090ca7', '{"type":"task.created","task":"01a21029-410f-785b-bdf3-4bf242090ca7","title":"Release the login","key":"release","lane":"queue/backend","priority":"normal","state":"blocked","waiting_on":2}'),
    (:team, '40', '1795567468856689', 'admin', '01a21029-4138-752f-8394-0257969df54b', '{"type":"task.created","task":"01a21029-4138-752f-8394-0257969df54b","title":"Update the dependencies","key":"dependencies","lane":"queue/backend","priority":"low","state":"queued","waiting_on":0}'),
    (:team, '41', '1795567468889609', 'admin', '01a21029-4159-772e-9fb1-c05180437306', '{"type":"task.created","task":"01a21029-4159-772e-9fb1-c05180437306","title":"Renew the certificate","key":"certificate","lane":"queue/backend","priority":"normal","state":"scheduled","waiting_on":0,"wake_at":"2031-01-01T03:00:00.000000Z"}'),
    (:team, '42', '1795567468918571', 'admin', '01a21029-4176-7b47-b5ad-a22191cd88b4', '{"type":"task.created","task":"01a21029-4176-7b47-b5ad-a22191cd88b4","title":"Try another login library","key":"library","lane":"queue/backend","priority":"normal","state":"queued","waiting_on":0}'),
    (:team, '43', '1795567468961455', 'admin', '01a21029-4176-7b47-b5ad-a22191cd88b4', '{"type":"task.cancelled","task":"01a21029-4176-7b47-b5ad-a22191cd88b4","class":"permanent","reason":"We stay with the one that we have.","lane":"queue/backend"}'),
    (:team, '44', '1795567468996049', 'admin', NULL, '{"type":"message.sent","message":"01a21029-41c4-7ba6-8503-2acf2434891d","from":"ada","to":{"agent":"bob"},"recipients":["bob"]}'),
    (:team, '45', '1795567469022218', 'admin', NULL, '{"type":"schedule.set","schedule":"01a21029-41de-7ecd-8672-f754276e9b31","name":"nightly","cron":"0 3 * * *","paused":false}'),
    (:team, '46', '1795567469061742', 'admin', NULL, '{"type":"schedule.set","schedule":"01a21029-41de-7ecd-8672-f754276e9b31","name":"nightly","cron":"0 3 * * *","paused":true}');
UPDATE teams SET last_seq = 46, tasks = 10 WHERE number = :team;
\echo seeds: 10 tasks are loaded into the team default
\else
\echo seeds: the team default has done something already; nothing is loaded
\endif
COMMIT;
