"""Faults of the machine, its network, the doors, the backups, and of the monitoring itself."""

import http.server
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
import time

from .fault import Repeat, fault
from .stack import free_port, wait_for



class CannotHere(Exception):
    """This machine or user can't make the fault; the reason is told."""


def root():
    if os.geteuid() != 0:
        raise CannotHere("needs root")


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotHere(f"{command[0]}: {done.stderr.strip()}")


def mount(stack, name, options):
    root()
    folder = stack.home / name
    folder.mkdir(mode=0o777)
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
    stack.mounts.append(folder)
    return folder


def unmount(stack, folder):
    subprocess.run(["umount", folder], check=True)
    stack.mounts.remove(folder)


@fault("all processors compute", round="cpu", HighCPU={})
def busy(stack):
    burn = [sys.executable, "-c", "while True: pass"]
    count = os.cpu_count()
    for i in range(count):
        stack.start(f"burn-{i}", ["nice", "-n", "5", *burn])
    yield
    for i in range(count):
        stack.stop(f"burn-{i}")


@fault("a node exporter that is shown a /proc/meminfo of a full machine", round="host", HighMemory={})
def full_memory(stack):
    root()
    shown = stack.home / "meminfo"
    lines = []
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            line = "MemAvailable:     409600 kB"
        lines.append(line)
    shown.write_text("\n".join(lines) + "\n")
    address = f"127.0.0.1:{stack.ports['memory']}"
    command = f"mount --bind {shown} /proc/meminfo && exec prometheus-node-exporter --collector.disable-defaults --collector.meminfo --web.listen-address={address}"
    stack.start("memory", ["unshare", "--mount", "sh", "-c", command])
    stack.targets("node", f"127.0.0.1:{stack.ports['node']}", address)
    yield
    stack.targets("node", f"127.0.0.1:{stack.ports['node']}")
    stack.stop("memory")


@fault("a file system of 8 MB is filled", round="host", DiskSpaceLow={"mountpoint": "{home}/disk-full"})
def disk_full(stack):
    folder = mount(stack, "disk-full", "size=8m")
    (folder / "file").write_bytes(b"x" * 7_800_000)
    yield
    unmount(stack, folder)


@fault("a file system of 64 MB fills, a MB a second", round="host", DiskWillFill={"mountpoint": "{home}/disk-fills"})
def disk_fills(stack):
    folder = mount(stack, "disk-fills", "size=64m")
    (folder / "file").write_bytes(b"x" * 42_000_000)

    def grow():
        if (folder / "file").stat().st_size < 54_000_000:
            with open(folder / "file", "ab") as file:
                file.write(b"x" * 400_000)

    repeat = Repeat(1, grow)
    yield
    repeat.stop()
    unmount(stack, folder)


@fault("a file system with 100 inodes gets 95 files", round="host", InodesLow={"mountpoint": "{home}/inodes"})
def inodes(stack):
    folder = mount(stack, "inodes", "size=8m,nr_inodes=100")
    for i in range(95):
        (folder / f"{i}").touch()
    yield
    unmount(stack, folder)


@fault("a process takes more than its memory group has", round="host", OutOfMemoryKill={})
def out_of_memory(stack):
    root()
    first, second = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
    base, limit = (first, "memory.limit_in_bytes") if first.is_dir() else (second, "memory.max")
    group = base / f"drill-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text("16777216")
    except OSError as error:
        raise CannotHere(f"memory groups can't be made: {error}") from None
    eat = f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -c 'x = bytearray(200 << 20)'"
    for _ in range(3):
        subprocess.run(["sh", "-c", eat], check=False, capture_output=True)
        time.sleep(2)
    yield
    group.rmdir()


def pair(stack, name):
    """A cable between this network and one of its own, where `other` waits."""
    root()
    run("ip", "netns", "add", name)
    run("ip", "link", "add", name, "mtu", "65000", "type", "veth", "peer", "name", "other", "mtu", "65000", "netns", name)
    run("ip", "addr", "add", "198.18.77.1/30", "dev", name)
    run("ip", "link", "set", name, "up")
    run("ip", "-n", name, "addr", "add", "198.18.77.2/30", "dev", "other")
    run("ip", "-n", name, "link", "set", "other", "up")


def unpair(name):
    for command in (["ip", "link", "del", name], ["ip", "netns", "del", name]):
        subprocess.run(command, check=False, capture_output=True)


@fault("an interface moves more than 100 MB/s", round="network", limit=90, HighTraffic={"device": "{device}"})
def much_traffic(stack):
    name = stack.device
    pair(stack, name)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    block = b"x" * 60_000
    repeat = Repeat(0.002, lambda: [sender.sendto(block, ("198.18.77.2", 9)) for _ in range(10)])
    yield
    repeat.stop()
    sender.close()
    unpair(name)


@fault("the other end of a cable goes down", round="network 2", limit=90, InterfaceDown={"device": "{device}"})
def cable_pulled(stack):
    name = stack.device
    pair(stack, name)
    wait_for("the interface was seen", lambda: stack.value(f'node_network_up{{device="{name}"}}') == 1)
    run("ip", "-n", name, "link", "set", "other", "down")
    yield
    unpair(name)


class Door:
    """A web server that answers after a pause, with a certificate if one is given."""

    def __init__(self, pause=0, certificate=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                time.sleep(pause)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def ready(stack):
    return f"{stack.url}/readyz"


@fault("a web server that answers after 1.2 s", round="doors", EndpointSlow={})
def slow_door(stack):
    door = Door(pause=1.2)
    stack.targets("blackbox-http", ready(stack), f"http://127.0.0.1:{door.port}/")
    yield
    stack.targets("blackbox-http", ready(stack))
    door.close()


@fault("a web address where nobody listens", round="doors 2", EndpointDown={"job": "blackbox-http"})
def closed_door(stack):
    stack.targets("blackbox-http", ready(stack), f"http://127.0.0.1:{free_port()}/")
    yield
    stack.targets("blackbox-http", ready(stack))


@fault("a web server whose certificate ends in five days", round="doors", TLSCertificateExpiring={})
def old_certificate(stack):
    file = stack.home / "door.pem"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-days", "5", "-subj", "/CN=localhost", "-keyout", stack.home / "door.key", "-out", stack.home / "door.crt")
    file.write_text((stack.home / "door.key").read_text() + (stack.home / "door.crt").read_text())
    door = Door(certificate=file)
    stack.targets("blackbox-tcp", f"127.0.0.1:{door.port}", labels={"module": "tcp_own_certificate"})
    yield
    stack.probe_tcp()
    door.close()


PARTS = ("postgres", "redis", "rabbitmq", "volumes")


def write_backups(stack, **changed):
    """What `collective stack backup` leaves for the node exporter. `changed` maps a part to other figures."""
    now = time.time()
    lines = []
    for part in PARTS:
        figures = {"last_success_timestamp_seconds": now, "last_verify_timestamp_seconds": now, "size_bytes": 1e6, "last_result": 1}
        figures |= changed.get(part, {})
        lines += [f'collective_backup_{name}{{part="{part}"}} {value}' for name, value in figures.items()]
    new = stack.textfiles / "backup.new"
    new.write_text("\n".join(lines) + "\n")
    new.rename(stack.textfiles / "backup.prom")


@fault("the file with the figures of the backups is removed", round="backup", BackupMissing={"part": "postgres"})
def no_backup(stack):
    (stack.textfiles / "backup.prom").unlink()
    yield
    write_backups(stack)


@fault("figures of a backup that is 27 h old, of one that failed, of one proven 9 days ago, of one with half the size", round="backup 2",
       BackupTooOld={"part": "postgres"}, BackupFailed={"part": "redis"},
       BackupUnverified={"part": "rabbitmq"}, BackupSizeDropped={"part": "volumes"})
def bad_backups(stack):
    now = time.time()
    write_backups(
        stack, postgres={"last_success_timestamp_seconds": now - 27 * 3600}, redis={"last_result": 0},
        rabbitmq={"last_verify_timestamp_seconds": now - 9 * 86400}, volumes={"size_bytes": 4e5},
    )
    yield
    write_backups(stack)


@fault("an exporter is stopped", round="services", ServiceDown={"job": "redis"})
def exporter_stops(stack):
    stack.stop("redis")
    yield
    stack.again("redis")


@fault("all targets of a job vanish from the discovery", round="services", ServiceGone={"job": "node"})
def targets_vanish(stack):
    stack.targets("node")
    yield
    stack.targets("node", f"127.0.0.1:{stack.ports['node']}")


@fault("an exporter is stopped and started, three times", round="services", limit=90, ServiceFlapping={"job": "postgres"})
def flapping(stack):
    for again in range(3):
        stack.stop("postgres")
        wait_for("it is seen down", lambda: stack.value('up{job="postgres"}') == 0)
        stack.again("postgres")
        if again < 2:
            wait_for("it is seen up", lambda: stack.value('up{job="postgres"}') == 1)
    yield


@fault("a rule that can't be evaluated is loaded", round="self", RuleEvaluationFailing={})
def broken_rule(stack):
    file = stack.home / "prometheus" / "broken.rules.yml"
    file.write_text(
        "groups:\n  - name: broken\n    rules:\n      - record: drill:broken\n"
        "        expr: rabbitmq_detailed_queue_messages * on () rabbitmq_detailed_queue_consumers + on () node_cpu_seconds_total\n"
    )
    stack.reload_prometheus()
    yield
    file.unlink()
    stack.reload_prometheus()


@fault("a configuration that isn't YAML is loaded", round="self 2", ConfigReloadFailed={"job": "prometheus"})
def broken_config(stack):
    file = stack.home / "prometheus" / "prometheus.yml"
    good = file.read_text()
    file.write_text(good + "\nnonsense: [\n")
    stack.reload_prometheus()
    yield
    file.write_text(good)
    stack.reload_prometheus()


@fault("who receives alerts answers with 500 for a while", round="self 3", AlertNotificationsFailing={"integration": "webhook"})
def webhook_refuses(stack):
    stack.webhook.refuse = True
    wait_for("Alertmanager notices", lambda: (stack.value("sum(increase(alertmanager_notifications_failed_total[20s]))") or 0) > 0)
    stack.webhook.refuse = False
    yield
