"""Figures of real containers under cAdvisor's names, for a machine that has no cAdvisor.

It asks the engine which containers run and reads their control groups, and gives the
few series that the alerts use, with the labels that cAdvisor gives them. So the drill
shows what the alerts make of containers that come, go, restart, fill their memory and
are throttled; it doesn't show cAdvisor.
"""

import http.client
import http.server
import json
import pathlib
import re
import socket
import threading
import time

SOCKET = "/var/run/docker.sock"
GROUPS = pathlib.Path("/sys/fs/cgroup")


class Engine(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost", timeout=10)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(SOCKET)


def ask(path):
    engine = Engine()
    try:
        engine.request("GET", path)
        return json.loads(engine.getresponse().read())
    finally:
        engine.close()


def read(name, kind, file):
    """A file of a container's group: version 1 has a tree per kind, version 2 one for all."""
    for path in (GROUPS / kind / "docker" / name / file, GROUPS / f"system.slice/docker-{name}.scope" / file, GROUPS / "docker" / name / file):
        if path.exists():
            return path.read_text()
    return ""


def field(text, name):
    found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def memory(name):
    first = read(name, "memory", "memory.usage_in_bytes")
    if first:
        used, limit = int(first), int(read(name, "memory", "memory.limit_in_bytes"))
        idle = field(read(name, "memory", "memory.stat"), "total_inactive_file")
    else:
        used, limit = int(read(name, "", "memory.current") or 0), read(name, "", "memory.max").strip()
        limit = int(limit) if limit.isdigit() else 0
        idle = field(read(name, "", "memory.stat"), "inactive_file")
    return used - idle, 0 if limit > 1 << 60 else limit


def series():
    for one in ask("/containers/json?filters=" + '{"label":["com.docker.compose.project=drill"]}'):
        name = one["Id"]
        restarts = ask(f"/containers/{name}/json")["RestartCount"]
        labels = {"id": f"/docker/{name}", "name": one["Names"][0].lstrip("/"), "image": one["Image"]}
        for key, value in one["Labels"].items():
            labels["container_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", key)] = value
        # It has the label only once it was restarted.
        if restarts:
            labels["container_label_restartcount"] = str(restarts)
        text = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
        working_set, limit = memory(name)
        stat = read(name, "cpu", "cpu.stat")
        for metric, value in (
            ("container_last_seen", time.time()),
            ("container_memory_working_set_bytes", working_set),
            ("container_spec_memory_limit_bytes", limit),
            ("container_cpu_cfs_periods_total", field(stat, "nr_periods")),
            ("container_cpu_cfs_throttled_periods_total", field(stat, "nr_throttled")),
        ):
            yield f"{metric}{{{text}}} {value}"


class Exporter:
    def __init__(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                try:
                    body = "\n".join(series()) + "\n"
                except (OSError, KeyError, ValueError):
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("content-type", "text/plain")
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
