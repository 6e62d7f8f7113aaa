"""Tries every port of a stack from a container that isn't part of it."""

import re
import socket

# Ports of the servers themselves, beside those that an environment may publish.
INSIDE = {"postgres": [5432], "redis": [6379], "rabbitmq": [5672, 15672, 15692], "server": [7420]}
IMAGE = "postgres:15-alpine"


def tried(scene, doors: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those that answer a container on Docker's default network."""
    words = " ".join(f"{address}:{port}" for address, port in doors)
    script = (
        f"for door in {words}; do ("
        'timeout 1 bash -c "exec 3<>/dev/tcp/${door%:*}/${door##*:}" 2>/dev/null && echo "$door") & done; wait'
    )
    said = scene.docker("run", "--rm", "--network", "bridge", "--entrypoint", "bash", IMAGE, "-c", script)
    return {(address, int(port)) for address, _, port in (line.partition(":") for line in said.split())}


def look(scene) -> str:
    """What is open and shouldn't be, or nothing."""
    host = scene.docker("network", "inspect", "--format", "{{ (index .IPAM.Config 0).Gateway }}", "bridge")
    mine = sorted({int(port) for name, port in scene.settings.items() if name.endswith("_PORT")})
    doors = [(host, port) for port in mine]
    inside = []
    for identity in scene.containers():
        said = scene.docker("inspect", "--format", '{{ index .Config.Labels "com.docker.compose.service" }} '
                            "{{ range .NetworkSettings.Networks }}{{ .IPAddress }} {{ end }}", identity).split()
        if said and said[0] in INSIDE:
            inside += [(address, port) for address in said[1:] if re.match(r"[\d.]+$", address) for port in INSIDE[said[0]]]
    if len(inside) < 10:
        return f"only {len(inside)} addresses were found in the stack"
    # One that is open, so that finding none says something.
    with socket.socket() as control:
        control.bind((host, 0))
        control.listen()
        witness = (host, control.getsockname()[1])
        found = tried(scene, [*doors, *inside, witness])
    if witness not in found:
        return "the port that was opened for comparison isn't found either"
    found.discard(witness)
    # From this machine itself the broker answers: it is there, and closed to others.
    reached = 0
    for address, port in inside:
        with socket.socket() as probe:
            probe.settimeout(1)
            reached += probe.connect_ex((address, port)) == 0
    if reached == 0:
        return "no server of the stack answers this machine: nothing was proven"
    return f"open to another container: {sorted(found)}" if found else ""
