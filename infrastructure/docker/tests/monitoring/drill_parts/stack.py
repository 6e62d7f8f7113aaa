"""Real servers from the machine's packages, on free ports, in one temporary folder.

Everything that is started is stopped by its own process group; nothing else is touched.
"""

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

from . import rules
from .clients import Amqp, Redis, http
from .collector import Collector

MONITORING = pathlib.Path(__file__).resolve().parents[3] / "monitoring"
POSTGRES = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)
RABBITMQ = pathlib.Path("/usr/lib/rabbitmq/bin")
PASSWORD = "drill-only"
START_LIMIT = 90
# Below it the server and the exporters have their connections, above it the faults.
MAX_CONNECTIONS = 260
# What the broker may open: little enough to be filled.
BROKER_FILES = 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, check, limit=START_LIMIT):
    """Waits until `check` gives something true, and gives that."""
    end = time.monotonic() + limit
    while True:
        try:
            got = check()
            if got:
                return got
        except OSError:
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"{what} within {limit} s")
        time.sleep(0.2)


class Stack:
    def __init__(self, binary):
        self.binary = str(pathlib.Path(binary).resolve())
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="drill-"))
        self.home.chmod(0o711)
        self.processes = {}
        self.commands = {}
        self.mounts = []
        # The name of the network interface that faults make.
        self.device = f"drl{os.getpid() % 100000}"
        self.ports = {
            name: free_port()
            for name in (
                "prometheus", "alertmanager", "orchestrator", "rabbitmq", "postgres", "redis",
                "node", "memory", "blackbox", "pg", "amqp", "redis-server", "epmd", "distribution", "traces",
            )
        }
        # The system user that servers run as that refuse root.
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None

    # Processes

    def start(self, name, command, env=None, as_user=False, files=None):
        """Starts a program whose output is a file in the folder; again after `stop` without a command."""
        if command is not None:
            self.commands[name] = (command, env, as_user, files)
        command, env, as_user, files = self.commands[name]
        command = [str(word) for word in command]
        if as_user and self.user:
            command = ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups", "--", *command]
        if files:
            command = ["prlimit", f"--nofile={files}:{files}", *command]
        with open(self.home / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )

    def again(self, name):
        self.start(name, None)

    def stop(self, name, how=signal.SIGTERM, limit=30):
        process = self.processes.pop(name, None)
        if process is None:
            return
        for sign in (signal.SIGCONT, how, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                break
            if sign is signal.SIGCONT:
                continue
            try:
                process.wait(limit)
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait(limit)

    def run(self, *command, env=None, input=None, check=True):
        done = subprocess.run(
            [str(word) for word in command], cwd=self.home, env={**os.environ, **(env or {})},
            input=input, capture_output=True, text=True, timeout=120,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{command[0]} {command[1:3]}: {done.stdout}{done.stderr}")
        return done.stdout

    def log(self, name):
        return (self.home / f"{name}.log").read_text(errors="replace")

    def close(self):
        for name in reversed(list(self.processes)):
            self.stop(name, signal.SIGTERM if name != "pg" else signal.SIGINT, 15)
        for mount in self.mounts:
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    # Data servers

    def start_postgres(self):
        data = self.home / "pg"
        data.mkdir(mode=0o700)
        (self.home / "wal").mkdir()
        (self.home / "archive_works").touch()
        secret = self.home / "pg-password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        if self.user:
            for path in (data, self.home / "wal"):
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        initdb = [POSTGRES / "initdb", "--pgdata", data, f"--pwfile={secret}", "--username=admin",
                  "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        self.start("initdb", initdb, as_user=True)
        if self.processes["initdb"].wait(START_LIMIT):
            raise RuntimeError(self.log("initdb"))
        archive = f"test -e {self.home}/archive_works && cp %p {self.home}/wal/%f"
        settings = {
            "listen_addresses": "127.0.0.1", "max_connections": MAX_CONNECTIONS, "port": self.ports["pg"],
            "unix_socket_directories": "", "fsync": "off", "deadlock_timeout": "100ms",
            "archive_mode": "on", "archive_command": archive, "log_min_duration_statement": "500ms",
            "log_line_prefix": "%m [%p] %quser=%u,db=%d,app=%a,client=%h ", "log_connections": "on", "log_disconnections": "on",
            "log_lock_waits": "on", "log_checkpoints": "on",
        }
        flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.start("pg", [POSTGRES / "postgres", "-D", data, *flags], as_user=True)
        self.wait_for_postgres()
        # One refused login, for its line in the log.
        self.run(*self.psql(), "-c", "SELECT 1", env={"PGPASSWORD": "wrong"}, check=False)
        self.sql(f"CREATE ROLE collective LOGIN PASSWORD '{PASSWORD}'")
        self.sql("CREATE DATABASE agent_orchestrator OWNER collective")
        self.sql(f"CREATE ROLE collective_monitor LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor")

    def wait_for_postgres(self):
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.ports["pg"])]
        wait_for("PostgreSQL accepts connections", lambda: subprocess.run(ready, check=False).returncode == 0)

    def psql(self, database="postgres", user="admin"):
        return ["psql", "-X", "-v", "ON_ERROR_STOP=1", f"host=127.0.0.1 port={self.ports['pg']} user={user} dbname={database}"]

    def sql(self, statement, database="postgres", check=True):
        return self.run(*self.psql(database), "-Atc", statement, env={"PGPASSWORD": PASSWORD}, check=check)

    def start_rabbitmq(self):
        (self.home / "enabled_plugins").write_text("[rabbitmq_prometheus].\n")
        (self.home / "rabbitmq.conf").write_text(
            f"prometheus.tcp.port = {self.ports['rabbitmq']}\nprometheus.tcp.ip = 127.0.0.1\n"
            "collect_statistics_interval = 1000\ndisk_free_limit.absolute = 50MB\n"
        )
        self.rabbit_env = {
            "HOME": str(self.home), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": str(self.ports["epmd"]),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null", "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "rabbit"), "RABBITMQ_LOG_BASE": str(self.home / "rabbit-log"),
            "RABBITMQ_PID_FILE": str(self.home / "rabbit.pid"), "RABBITMQ_NODENAME": "drill@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": str(self.ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(self.ports["distribution"]), "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.start("epmd", ["epmd", "-address", "127.0.0.1", "-port", self.ports["epmd"]])
        self.start("amqp", [RABBITMQ / "rabbitmq-server"], env=self.rabbit_env, files=BROKER_FILES)
        self.wait_for_rabbitmq()
        self.rabbit("add_user", "collective", PASSWORD)
        self.rabbit("set_permissions", "collective", ".*", ".*", ".*")

    def wait_for_rabbitmq(self):
        wait_for("RabbitMQ listens", lambda: Amqp(self.ports["amqp"], "guest", "guest").close() is None)

    def rabbit(self, *words):
        return self.run(RABBITMQ / "rabbitmqctl", "--quiet", *words, env=self.rabbit_env)

    def amqp(self):
        return Amqp(self.ports["amqp"], "guest", "guest")

    def start_redis(self):
        folder = self.home / "redis"
        folder.mkdir()
        (self.home / "redis.conf").write_text(
            f"port {self.ports['redis-server']}\nbind 127.0.0.1\nrequirepass {PASSWORD}\ndir {folder}\n"
            "save ''\nmaxmemory 16mb\nmaxmemory-policy allkeys-lru\nmaxclients 40\n".replace("''", '""')
        )
        self.start("redis-server", ["redis-server", self.home / "redis.conf"])
        self.wait_for_redis()

    def wait_for_redis(self):
        wait_for("Redis answers", lambda: self.redis()("PING") == "+PONG")

    def redis(self):
        return Redis(self.ports["redis-server"], PASSWORD)

    def redis_lookups(self):
        """What a cache that is used looks like."""
        if not hasattr(self, "lookups"):
            self.lookups = self.redis()
            self.lookups("SET", "collective:drill:day", "x")
        try:
            for _ in range(5):
                self.lookups("GET", "collective:drill:day")
        except (OSError, ValueError):
            del self.lookups
            raise

    # Our server

    def start_server(self):
        env = {
            "COLLECTIVE_DATA": str(self.home / "server"), "COLLECTIVE_LOG_FORMAT": "json", "COLLECTIVE_LOG": "info",
            "POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(self.ports["pg"]), "POSTGRES_DB": "agent_orchestrator",
            "POSTGRES_USER": "collective", "POSTGRES_PASSWORD": PASSWORD,
            "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(self.ports["amqp"]),
            "RABBITMQ_USER": "collective", "RABBITMQ_PASSWORD": PASSWORD,
            "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(self.ports["redis-server"]), "REDIS_PASSWORD": PASSWORD,
        }
        self.collector = Collector(self.ports["traces"])
        env["COLLECTIVE_TRACE_ENDPOINT"] = f"http://127.0.0.1:{self.ports['traces']}"
        listen = f"127.0.0.1:{self.ports['orchestrator']}"
        self.start("orchestrator", [self.binary, "up", "--engine", "distributed", "--listen", listen], env=env)
        wait_for("the server is ready", lambda: http(f"http://{listen}/readyz")[0] == 200)
        self.url = f"http://{listen}"
        self.token_file = self.home / "server" / "token"
        self.token = self.token_file.read_text().strip()

    def api(self, path, body=None, token=None, method=None, team=None):
        return http(self.url + path, body, token or self.token, method, team)

    def cli(self, *words):
        return self.run(self.binary, *words, "--server", self.url, "--token-file", self.token_file)

    def agent(self, name, queue, *command, team="default"):
        words = ["agent", "run", "--name", name, "--queue", queue, "--server", self.url, "--token-file", self.token_file, "--team", team]
        self.start(name, [self.binary, *words, "--", *command])

    def tasks(self, queue, count, team="default", attempts=1):
        """So many tasks by batches."""
        for start in range(0, count, 500):
            specs = [
                {"title": f"drill {start + i}", "queue": queue, "retry": {"max_attempts": attempts}}
                for i in range(min(500, count - start))
            ]
            status, text = self.api("/v1/tasks/batch", {"tasks": specs}, team=team)
            if status not in (200, 201):
                raise RuntimeError(f"tasks were refused: {status} {text}")

    # Exporters and Prometheus

    def start_exporters(self):
        self.start(
            "postgres", ["prometheus-postgres-exporter", f"--web.listen-address=127.0.0.1:{self.ports['postgres']}"],
            env={"DATA_SOURCE_URI": f"127.0.0.1:{self.ports['pg']}/agent_orchestrator?sslmode=disable",
                 "DATA_SOURCE_USER": "collective_monitor", "DATA_SOURCE_PASS": PASSWORD},
        )
        self.start(
            "redis", ["prometheus-redis-exporter", f"-web.listen-address=127.0.0.1:{self.ports['redis']}",
                      f"-redis.addr=redis://127.0.0.1:{self.ports['redis-server']}"],
            env={"REDIS_PASSWORD": PASSWORD},
        )
        self.textfiles = self.home / "textfiles"
        self.textfiles.mkdir()
        node = ["prometheus-node-exporter", f"--collector.textfile.directory={self.textfiles}"]
        self.start("node", [*node, f"--web.listen-address=127.0.0.1:{self.ports['node']}"])
        self.start("blackbox", ["prometheus-blackbox-exporter", f"--config.file={MONITORING / 'blackbox.yml'}",
                                f"--web.listen-address=127.0.0.1:{self.ports['blackbox']}"])

    def targets(self, job, *addresses, labels=None):
        """Writes who a job asks; Prometheus sees it within a second or two."""
        folder = self.home / "prometheus" / "targets"
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".{job}"
        new.write_text(json.dumps([{"targets": list(addresses), "labels": labels or {}}] if addresses else []))
        new.rename(folder / f"{job}.json")

    def probe_tcp(self):
        self.targets("blackbox-tcp", *[f"127.0.0.1:{self.ports[name]}" for name in ("pg", "redis-server", "amqp")])

    def start_prometheus(self, webhook):
        self.webhook = webhook
        folder = self.home / "prometheus"
        ports = {**self.ports, "rabbitmq-detailed": self.ports["rabbitmq"], "cadvisor": 0,
                 "blackbox-http": self.ports["blackbox"], "blackbox-tcp": self.ports["blackbox"]}
        here = {job: f"127.0.0.1:{ports[job]}" for job in (
            "prometheus", "alertmanager", "orchestrator", "rabbitmq", "rabbitmq-detailed", "postgres", "redis", "node")}
        for job, address in here.items():
            self.targets(job, address)
        self.targets("cadvisor")
        self.targets("blackbox-http", f"{self.url}/readyz")
        self.probe_tcp()
        config = rules.prometheus((MONITORING / "prometheus.yml").read_text(), ports, folder)
        (folder / "prometheus.yml").write_text(config)
        for name in ("alert.rules.yml", "recording.rules.yml"):
            (folder / name).write_text(rules.shortened((MONITORING / name).read_text()))

        secrets = self.home / "alert-secrets"
        secrets.mkdir(mode=0o700)
        for name in ("webhook_url", "deadman_url"):
            (secrets / name).write_text(f"http://127.0.0.1:{webhook.port}/{name}\n")
        template = self.home / "alertmanager-template.yml"
        template.write_text(rules.alertmanager((MONITORING / "alertmanager" / "alertmanager.yml").read_text()))
        self.start(
            "alertmanager",
            [MONITORING / "alertmanager" / "start.sh", f"--web.listen-address=127.0.0.1:{self.ports['alertmanager']}",
             "--cluster.listen-address=", f"--storage.path={self.home}/alertmanager-data"],
            env={"ALERT_SECRETS_DIR": str(secrets), "ALERT_TEMPLATE": str(template), "ALERT_CONFIG_DIR": str(self.home),
                 "ALERTMANAGER": "prometheus-alertmanager"},
        )
        wait_for("Alertmanager is ready", lambda: http(f"http://127.0.0.1:{self.ports['alertmanager']}/-/ready")[0] == 200)
        self.start(
            "prometheus",
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--web.enable-lifecycle",
             # After a reload Alertmanager is unknown for seconds; what was sent then comes again after this time.
             "--rules.alert.resend-delay=5s"],
        )
        wait_for("Prometheus is ready", lambda: http(f"http://127.0.0.1:{self.ports['prometheus']}/-/ready")[0] == 200)

    def query(self, expression):
        """What Prometheus answers now; an expression that it refuses is an error."""
        words = urllib.parse.urlencode({"query": expression})
        status, text = http(f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/query?{words}")
        if status != 200:
            raise ValueError(f"{expression}: {text}")
        return json.loads(text)["data"]["result"]

    def value(self, expression):
        got = self.query(expression)
        return float(got[0]["value"][1]) if got else None

    def reload_prometheus(self):
        return http(f"http://127.0.0.1:{self.ports['prometheus']}/-/reload", method="POST")[0]
