"""Faults of the server, its agents and its tasks, and of who asks it."""

import json
import time

from .clients import Amqp, Redis
from .data_faults import end, session
from .fault import Repeat, fault
from .stack import PASSWORD, wait_for


@fault("1,001 tasks in a queue that no agent serves", round="team", HighTaskBacklog={"queue": "drill-backlog"})
def backlog(stack):
    stack.cli("queue", "add", "drill-backlog")
    stack.tasks("drill-backlog", 1001)
    yield
    stop_waiting(stack, "drill-backlog")


def stop_waiting(stack, queue, state="queued", command="cancel"):
    """Calls off what waits in a queue."""
    while True:
        status, text = stack.api(f"/v1/tasks?lane=queue/{queue}&state={state}&limit=200")
        if status != 200:
            raise RuntimeError(f"listing gave {status} {text}")
        items = json.loads(text)["items"]
        if not items:
            return
        stack.cli("task", command, "--yes", *[item["id"] for item in items])


@fault("an agent whose command fails", round="team", limit=90, TaskFailureRate={"queue": "drill-fail"}, DeadLettersWaiting={"team": "default"})
def failing_tasks(stack):
    stack.cli("queue", "add", "drill-fail")
    stack.agent("failing", "drill-fail", "sh", "-c", "sleep 1; exit 1")
    stack.tasks("drill-fail", 20)
    yield
    stack.stop("failing")
    stop_waiting(stack, "drill-fail")
    stop_waiting(stack, "drill-fail", "dead", "discard")


@fault("a task in a team without agents", round="team", NoAgentsAvailable={"team": "lonely"})
def no_agents(stack):
    stack.api("/v1/teams/lonely", method="PUT")
    stack.cli("queue", "add", "drill-lonely", "--team", "lonely")
    stack.tasks("drill-lonely", 1, team="lonely")
    yield
    stack.agent("late", "drill-lonely", "true", team="lonely")
    time.sleep(3)
    stack.stop("late")


@fault("an agent that takes eight tasks and is never heard of again", round="team", limit=90, LeasesLost={})
def leases_lost(stack):
    stack.cli("queue", "add", "drill-lost")
    spec = {"role": "worker", "queues": ["drill-lost"], "slots": 8}
    stack.api("/v1/agents/vanishing", spec, method="PUT")
    stack.tasks("drill-lost", 8)
    status, text = stack.api("/v1/leases/claim", {"agent": "vanishing", "max": 8, "lease": "3s"})
    if status != 200 or text.count('"token"') < 8:
        raise RuntimeError(f"the claim gave {status} {text[:300]}")
    yield
    stop_waiting(stack, "drill-lost")
    stop_waiting(stack, "drill-lost", "dead", "discard")


@fault("requests with a wrong key", round="team", FailedLogins={"source": "server"})
def bad_keys(stack):
    repeat = Repeat(0.2, lambda: stack.api("/v1/tasks", token="wrong"))
    yield
    repeat.stop()


@fault("AMQP logins with a wrong password", round="rabbitmq", FailedLogins={"source": "rabbitmq"})
def bad_broker_logins(stack):
    # The broker answers a wrong password after seconds: several clients ask at once.
    clients = [Repeat(0.2, lambda: Amqp(stack.ports["amqp"], "collective", "wrong")) for _ in range(6)]
    yield
    for client in clients:
        client.stop()


@fault("Redis logins with a wrong password", round="redis", FailedLogins={"source": "redis"})
def bad_redis_logins(stack):
    def login():
        redis = Redis(stack.ports["redis-server"])
        redis("AUTH", "wrong")
        redis.close()

    repeat = Repeat(0.2, login)
    yield
    repeat.stop()


@fault("a worker's key that tries to make keys", round="team", UnauthorizedAccess={})
def forbidden(stack):
    key = stack.home / "worker.key"
    stack.cli("key", "create", "--label", "drill", "--role", "worker", "--output", str(key))
    token = key.read_text().strip()
    repeat = Repeat(0.2, lambda: stack.api("/v1/keys", {"label": "more"}, token=token))
    yield
    repeat.stop()


def traffic(stack, pause=0.1):
    return Repeat(pause, lambda: stack.api("/v1/tasks?limit=1"))


@fault("somebody locks the table of tasks, two seconds at a time", round="slow", limit=90, SlowRequests={"route": "/v1/tasks"})
def locked_table(stack):
    once = "BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT;\n"
    process = session(stack, once * 30)
    asking = [traffic(stack, 0.05) for _ in range(4)]
    yield
    end(process)
    stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%' OR query = 'SELECT pg_sleep(2);'")
    for repeat in asking:
        repeat.stop()


@fault("the collector of the traces is stopped", round="team", limit=90, TraceCollectorDown={})
def no_collector(stack):
    asking = traffic(stack)
    wait_for("the collector gets spans", lambda: stack.collector.spans_came, 30)
    stack.collector.stop()
    yield
    stack.collector.begin()
    # The next span that is sent says that it is back.
    wait_for("spans arrive again", lambda: stack.query("orchestrator_trace_collector_up == 1"), 60)
    asking.stop()


@fault("the server's role may not log in to PostgreSQL any more", round="locked out", limit=90,
       RequestErrorRate={}, OrchestratorPartDown={"part": "store"})
def locked_out(stack):
    stack.sql("ALTER ROLE collective NOLOGIN")
    stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'collective'")
    asking = traffic(stack)
    yield
    stack.sql("ALTER ROLE collective LOGIN")
    asking.stop()


@fault("the broker throws the server out again and again", round="reconnect", limit=120, BrokerReconnecting={})
def reconnecting(stack):
    repeat = Repeat(4, lambda: stack.rabbit("close_all_connections", "drill"))
    yield
    repeat.stop()


@fault("1,100 tasks are made while the broker refuses the server's password", round="relay", limit=90, RelayBacklogHigh={})
def relay_behind(stack):
    stack.rabbit("change_password", "collective", "another")
    stack.rabbit("close_all_connections", "drill")
    stack.cli("queue", "add", "drill-relay")
    stack.tasks("drill-relay", 1100)
    yield
    stack.rabbit("change_password", "collective", PASSWORD)
    stop_waiting(stack, "drill-relay")
