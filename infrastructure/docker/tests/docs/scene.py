"""One stack to run commands with: a copy of the files, its names, what is running.

It changes a command only by the names, ports and folders that are this stack's own.
"""

import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import yaml

from check import Row
from documents import ROOT

# How long a stack may take to be healthy, a command to end, and how long one that
# never ends is watched, in seconds.
BOOT_LIMIT = 600
COMMAND_LIMIT = 600
WATCHED = 8
# What `check` and `doctor` may find wrong because this machine is small.
OF_THE_MACHINE = {"disk", "memory", "map_count", "open_files"}
# Jobs of Prometheus and the services behind them, where their names differ.
JOBS = {"blackbox-http": "server", "blackbox-tcp": "server", "node": "node-exporter", "postgresql": "postgres-exporter", "redis": "redis-exporter"}
STATE = (
    "{{ .Name }} {{ if .State.Running }}{{ if .State.Health }}{{ .State.Health.Status }}{{ else }}running{{ end }}"
    "{{ else if eq .State.ExitCode 0 }}done{{ else }}{{ .State.Status }}:{{ .State.ExitCode }}{{ end }}"
)


def program(name: str) -> str:
    """The engine's own programs before others of that name."""
    return os.environ.get(name.upper().replace("-", "_"), f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else name)


def free_port() -> int:
    """One below those that the kernel gives to clients."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Scene:
    def __init__(self, work: Path, binary: Path, source: str, kind: str) -> None:
        self.kind = kind
        self.name = f"{source}, {kind}"
        self.place = work / f"{source}-{kind}"
        self.tree = self.place / "tree"
        self.binary = binary
        self.prefix = f"dd{os.getpid()}x{random.randint(100, 999)}_"
        self.docker_program = program("docker")
        self.attached: subprocess.Popen | None = None
        self.environment: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        # Services whose images can't be had here.
        self.left_out: set[str] = set()

    # --- its place -----------------------------------------------------------------

    def prepare(self) -> None:
        shutil.copytree(ROOT / "infrastructure", self.tree / "infrastructure", symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / ".env.example", self.tree)
        for name in ("bin", "home", "backups", "units"):
            (self.place / name).mkdir()
        (self.place / "bin" / "collective").symlink_to(self.binary)
        for name in ("docker", "docker-compose"):
            found = shutil.which(program(name))
            if found is None:
                raise SystemExit(f"docs: error: the program {name} is missing\ndocs: hint: apt-get install docker.io docker-compose")
            (self.place / "bin" / name).symlink_to(found)
        self.environment = {
            "PATH": f"{self.place / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.place / "home"),
            "LANG": "C.UTF-8",
            "STACK_PREFIX": self.prefix,
        }
        for name in re.findall(r"^([A-Z_]+_PORT)=\d+", (ROOT / ".env.example").read_text(), re.MULTILINE):
            self.settings[name] = str(free_port())
        octet = random.randint(100, 199)
        self.settings |= {
            "COMPOSE_PROJECT_NAME": self.prefix.rstrip("_"),
            "STACK_PREFIX": self.prefix,
            "AGENT_SUBNET": f"10.130.{octet}.0/24",
            "MONITORING_SUBNET": f"10.131.{octet}.0/24",
            "MONITORING_GATEWAY": f"10.131.{octet}.1",
        }
        self.fit_machine()
        if self.kind == "test":
            shutil.copy(self.tree / ".env.example", self.tree / ".env")
            self.fit_variables()
        elif self.kind not in ("none", "dev"):
            self.certificates()
            monitoring = " --monitoring" if self.kind.endswith("+monitoring") else ""
            self.shell(f"collective stack init --env {self.kind.split('+')[0]}{monitoring} --dir {self.tree}")
            self.fit_variables()

    def fit_machine(self) -> None:
        """What a small machine, or one inside a container, can't give."""
        cpus = os.cpu_count() or 1
        if cpus < 4:
            self.settings["POSTGRES_CPUS"] = str(cpus)
        files = int(subprocess.run(["bash", "-c", "ulimit -Hn"], capture_output=True, text=True, check=True).stdout.replace("unlimited", "1048576"))
        if files < 65536:
            self.settings["NOFILE_LIMIT"] = str(files)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        if not any(line.split()[4] == "/" and " shared:" in line for line in mounts):
            self.settings |= {"HOST_ROOT": str(self.tree), "HOST_MOUNTS": "rprivate"}

    def fit_variables(self) -> None:
        """The stack's own names and ports into the file that a command made."""
        path = self.tree / ".env"
        kept = [line for line in path.read_text().splitlines() if line.split("=")[0] not in self.settings]
        path.write_text("\n".join(kept + [f"{name}={value}" for name, value in self.settings.items()]) + "\n")
        path.chmod(0o600)

    def certificates(self) -> None:
        folder = self.tree / "infrastructure/docker/tls"
        self.shell(f"TLS_FOLDER= {folder}/make-test-certificates.sh localhost")
        # Only the proxy's is looked at: inside nobody speaks TLS here.
        for name in ("postgres", "rabbitmq", "redis"):
            for path in (folder / name).glob("server.*"):
                path.unlink()

    # --- commands ------------------------------------------------------------------

    def own(self, command: str) -> str:
        """The command with this stack's names."""
        command = re.sub(r"\bagent_(?!orchestrator)", f"{self.prefix}agent_", command)
        command = command.replace("-v worker_keys:", f"-v {self.prefix}worker_keys:")
        command = command.replace("lsof -i :5432", f"lsof -i :{self.settings['POSTGRES_PORT']}")
        command = command.replace("--to /backups", f"--to {self.place}/backups")
        command = command.replace("/etc/systemd/system", f"{self.place}/units")
        command = command.replace("PGUSER=postgres PGPASSWORD=...", f"PGUSER=admin PGPASSWORD=postgres123 PGPORT={self.settings['POSTGRES_PORT']}")
        if self.kind == "none":
            return command
        if re.fullmatch(r"docker-compose( -f \S+)* up.*|collective stack up", command):
            command += self.only_those_that_are_there(command)
        return command

    def only_those_that_are_there(self, command: str) -> str:
        """Names of services, where images of others can't be had."""
        if re.search(r" up .*\b(postgres|tests)$", command) and "exit-code-from" not in command:
            return ""
        files = re.findall(r" -f (\S+)", command)
        folder = self.tree / "infrastructure/docker"
        if command.startswith("collective"):
            files = ["compose/docker-compose.yml"] + [f"compose/override.{part}.yml" for part in self.kind.split("+")]
        elif not files[0].startswith("compose/"):
            folder = folder / "compose"
        listed = self.shell("docker-compose " + " ".join(f"-f {name}" for name in files) + " config", folder)
        there, missing = [], []
        for name, service in yaml.safe_load(listed)["services"].items():
            if not service.get("profiles"):
                image = service["image"]
                here = image.startswith("collective:") or subprocess.run(
                    [self.docker_program, "image", "inspect", image], capture_output=True).returncode == 0
                (there if here else missing).append(name)
        self.left_out |= set(missing)
        return f" {' '.join(there)}" if missing else ""

    def shell(self, command: str, folder: Path | None = None) -> str:
        """Runs it and gives what it said; for the test's own steps."""
        done = subprocess.run(["bash", "-c", command], cwd=folder or self.tree, env=self.environment, text=True,
                              capture_output=True, timeout=COMMAND_LIMIT, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise SystemExit(f"docs: error: {command}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def run(self, row: Row) -> str:
        """Runs a row; what is wrong, or nothing."""
        folder = self.tree / row.folder
        makes_variables = re.fullmatch(r"cp \.env\.example \.env|collective stack init --env \w+( --monitoring)?", row.command)
        if makes_variables:
            (self.tree / ".env").unlink(missing_ok=True)
        try:
            why = getattr(self, f"run_{row.how}")(row, self.own(row.command), folder)
        except subprocess.TimeoutExpired:
            return f"not over after {COMMAND_LIMIT} s"
        if makes_variables and not why:
            self.fit_variables()
        if not why and re.search(r"^docker-compose .* up -d|restart|stack (up|rotate)|plugins enable", row.command):
            why = self.wait_healthy()
        return why

    def run_run(self, row: Row, command: str, folder: Path) -> str:
        environment = self.environment | {"PATH": f"{folder}:{self.environment['PATH']}"}
        with open(self.place / "said", "w+b") as said:
            process = subprocess.Popen(["bash", "-o", "pipefail", "-c", command], cwd=folder, env=environment, stdout=said,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                code = process.wait(timeout=COMMAND_LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(timeout=60)
                raise
            said.seek(0)
            return self.judge(row, code, said.read().decode(errors="replace"))

    @staticmethod
    def judge(row: Row, code: int, said: str) -> str:
        if code != 0:
            return f"exit code {code}: {said.strip()[-500:]}"
        # `^$` wants silence.
        if row.says == "^$":
            return "" if not said.strip() else f"said: {said.strip()[-300:]}"
        return "" if re.search(row.says, said, re.MULTILINE) else f"doesn't say {row.says}: {said.strip()[-300:]}"

    def run_look(self, row: Row, command: str, folder: Path) -> str:
        """One that looks: it may find what this machine lacks, and nothing else."""
        why = self.run_run(row, command, folder)
        if not why.startswith("exit code 1:"):
            return why
        done = subprocess.run(["bash", "-c", f"{command} --json"], cwd=folder, env=self.environment, text=True,
                              capture_output=True, timeout=COMMAND_LIMIT, stdin=subprocess.DEVNULL)
        try:
            told = json.loads(done.stdout)
        except ValueError:
            return why
        findings = told.get("findings", []) if isinstance(told, dict) else told
        bad = [each for each in findings if each.get("level") == "wrong" or each.get("outcome") == "failed"]
        serious = [each for each in bad if not self.is_of_the_machine(each)]
        return why if serious or not bad else ""

    def is_of_the_machine(self, found: dict) -> bool:
        if found.get("code") in OF_THE_MACHINE:
            return True
        if found.get("what") in ("containers", "scrape targets"):
            named = set(re.findall(r"[a-z][a-z0-9-]+", found["seen"])) - {"no", "container", "of", "are", "up", "down", "is", "not"}
            return bool(named & self.left_out) and all(JOBS.get(name, name) in self.left_out for name in named)
        return False

    def run_set(self, row: Row, command: str, folder: Path) -> str:
        note = self.place / "environment"
        why = self.run_run(row, f"{command}; env -0 >{note}", folder)
        if not why:
            path = self.environment["PATH"]
            pairs = (pair.partition("=") for pair in note.read_text().split("\0") if pair)
            self.environment = {name: value for name, _, value in pairs} | {"PATH": path}
        return why

    def start(self, command: str, folder: Path, output: int) -> subprocess.Popen:
        return subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    def run_up(self, _row: Row, command: str, folder: Path) -> str:
        with open(self.place / "up.log", "wb") as log:
            self.attached = self.start(command, folder, log.fileno())
        why = self.wait_healthy()
        if not why and self.attached.poll() is not None:
            why = "it ended"
        return why and f"{why}: {(self.place / 'up.log').read_text(errors='replace')[-400:]}"

    def run_follow(self, row: Row, command: str, folder: Path) -> str:
        note = self.place / "followed"
        with open(note, "wb") as log:
            process = self.start(command, folder, log.fileno())
        began = time.monotonic()
        while time.monotonic() - began < 4 * WATCHED and not re.search(row.says, note.read_text(errors="replace")):
            time.sleep(0.5)
        ended = process.poll()
        os.killpg(process.pid, signal.SIGTERM) if ended is None else None
        process.wait(timeout=30)
        if ended is not None:
            return f"it ended with {ended}: {note.read_text(errors='replace')[-300:]}"
        return "" if re.search(row.says, note.read_text(errors="replace")) else f"doesn't say {row.says}"

    def run_tty(self, row: Row, command: str, folder: Path) -> str:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=folder, env=self.environment | {"TERM": "dumb"},
                                   stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        said, asked, until = "", False, time.monotonic() + 60
        while time.monotonic() < until:
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    said += os.read(ours, 4096).decode(errors="replace")
                except OSError:
                    break
            elif process.poll() is not None:
                break
            if not asked and re.search(row.says, said):
                asked, until = True, time.monotonic() + COMMAND_LIMIT
                os.write(ours, b"\\q\n" if "psql" in command else b"y\n")
        os.close(ours)
        if process.poll() is None and time.monotonic() >= until:
            process.kill()
        return self.judge(row, process.wait(timeout=30), said)

    # --- containers ----------------------------------------------------------------

    def docker(self, *arguments: str) -> str:
        done = subprocess.run([self.docker_program, *arguments], capture_output=True, text=True, timeout=120)
        return done.stdout.strip()

    def containers(self) -> list[str]:
        return self.docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={self.prefix.rstrip('_')}").split()

    def wait_healthy(self) -> str:
        until, bad = time.monotonic() + BOOT_LIMIT, "nothing was started"
        while time.monotonic() < until:
            ids = self.containers()
            states = self.docker("inspect", "--format", STATE, *ids).splitlines() if ids else []
            bad = ", ".join(state for state in states if not re.search(r" (healthy|running|done)$", state))
            # All of them are there once the last that waits for others is.
            if states and not bad and any("agent_worker" in state or "_worker_" in state or "agent_postgres " in state for state in states):
                workers = [state for state in states if re.search(r"agent_worker |_worker_\d+ ", state)]
                if workers and all(state.endswith(" healthy") for state in workers):
                    return ""
            if self.attached is not None and self.attached.poll() is not None:
                return "up ended"
            time.sleep(1)
        return f"after {BOOT_LIMIT} s: {bad or 'no worker is healthy'}"

    def remove(self) -> str:
        """Ends what stays in the foreground, removes all; what is left, or nothing."""
        why = ""
        if self.attached is not None and self.attached.poll() is None:
            os.killpg(self.attached.pid, signal.SIGINT)
            try:
                self.attached.wait(timeout=120)
            except subprocess.TimeoutExpired:
                why = "up didn't end within 120 s after an interrupt"
                os.killpg(self.attached.pid, signal.SIGKILL)
        for list_command, remove_command in ((("ps", "-aq"), ("rm", "-fv")), (("volume", "ls", "-q"), ("volume", "rm")),
                                             (("network", "ls", "-q"), ("network", "rm"))):
            found = self.docker(*list_command, "--filter", f"name={self.prefix}").split()
            if found:
                self.docker(*remove_command, *found)
        left = [each for what in ("ps -aq", "volume ls -q", "network ls -q")
                for each in self.docker(*what.split(), "--filter", f"name={self.prefix}").split()]
        return why or (f"left behind: {left}" if left else "")
