"""Faults of containers, on the machine's Docker engine."""

import os
import shutil
import subprocess
import time

from . import containers
from .fault import fault
from .host_faults import CannotHere
from .stack import wait_for

# Images that have a shell; the first that is there is taken, none is fetched.
IMAGES = ("debian:bookworm-slim", "alpine", "busybox")


def docker(*words, check=True):
    program = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=120, check=False)
    if check and done.returncode != 0:
        raise CannotHere(f"docker {words[0]}: {done.stderr.strip()[:200]}")
    return done.stdout.strip()


def image():
    if not shutil.which("docker") or not os.path.exists(containers.SOCKET):
        raise CannotHere("no Docker engine")
    for name in (os.environ.get("DRILL_IMAGE"), *IMAGES):
        if name and docker("images", "-q", name, check=False):
            return name
    raise CannotHere(f"none of the images {', '.join(IMAGES)} is there; DRILL_IMAGE names another")


class Containers:
    """The containers of one fault, and Prometheus asking after them."""

    def __init__(self, stack):
        self.image, self.names, self.stack = image(), [], stack
        self.exporter = containers.Exporter()
        stack.targets("cadvisor", f"127.0.0.1:{self.exporter.port}")

    def run(self, service, command, *flags):
        name = f"{self.stack.home.name}-{service}"
        self.names.append(name)
        labels = ["--label", "com.docker.compose.project=drill", "--label", f"com.docker.compose.service={service}"]
        docker("run", "-d", "--name", name, "--network", "none", *labels, *flags, self.image, "sh", "-c", command)
        return name

    def remove(self):
        for name in self.names:
            docker("rm", "-f", name, check=False)
        self.stack.targets("cadvisor")
        self.exporter.close()


@fault("a container fills 95 % of its memory", round="containers", limit=90, ContainerHighMemory={})
def full_container(stack):
    there = Containers(stack)
    # A file in a tmpfs counts as the container's own memory.
    there.run("full", "head -c 31000000 /dev/zero >/dev/shm/x; sleep 600", "--memory", "32m", "--memory-swap", "32m", "--shm-size", "64m")
    yield
    there.remove()


@fault("a container that ends again and again", round="containers 2", limit=90, ContainerRestarting={})
def restarting_container(stack):
    there = Containers(stack)
    there.run("crash", "sleep 3; exit 1", "--restart", "always")
    yield
    there.remove()


@fault("a container computes more than its share", round="containers 3", limit=90, ContainerCPUThrottled={})
def throttled_container(stack):
    there = Containers(stack)
    there.run("busy", "while :; do :; done", "--cpus", "0.05")
    yield
    there.remove()


@fault("a container is removed", round="containers 4", limit=90, ContainerDown={"container_label_com_docker_compose_service": "gone"})
def removed_container(stack):
    there = Containers(stack)
    name = there.run("gone", "sleep 600")
    there.run("stays", "sleep 600")
    wait_for("the container is seen", lambda: stack.query('container_last_seen{container_label_com_docker_compose_service="gone"}'))
    docker("rm", "-f", name)
    yield
    there.remove()
    time.sleep(1)
