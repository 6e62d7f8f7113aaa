#!/usr/bin/python3
"""Reads the compose files as they are, without an engine.

Fails where an image isn't the one of images.lock, where the base publishes a
port, where one is published beyond 127.0.0.1, where a service lacks its bounds,
where a variable has no line in .env.example, and where a form is used that
docker-compose 1.29 takes for something else.
"""

import re
import sys
from pathlib import Path

import yaml

DOCKER = Path(__file__).resolve().parents[2]
ROOT = DOCKER.parents[1]
COMPOSE = DOCKER / "compose"
FILES = [
    *sorted(COMPOSE.glob("*.yml")),
    DOCKER / "proxy" / "override.proxy.yml",
    DOCKER / "proxy" / "override.proxy.monitoring.yml",
]
# Forms that only Compose 2.x knows (or that 1.29 reads otherwise).
NEW_FORMS = {
    "nested default": re.compile(r"\$\{[A-Z_]+:?[-?][^}]*\$\{"),
    "!reset or !override": re.compile(r"!(reset|override)\b"),
    "include or name": re.compile(r"^(include|name):", re.MULTILINE),
    "version": re.compile(r"^version:", re.MULTILINE),
    "${VAR:+x}": re.compile(r"\$\{[A-Z_]+:?\+"),
    "develop, attach or post_start": re.compile(r"^    (develop|attach|post_start|start_interval):", re.MULTILINE),
}
mistakes: list[str] = []


def mistake(where: str, what: str) -> None:
    mistakes.append(f"{where}: {what}")


def read_lock() -> dict[str, set[str]]:
    """Services by image."""
    pinned: dict[str, set[str]] = {}
    for line in (DOCKER / "images.lock").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        image, digest, *services = line.split()
        if digest != "-" and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            mistake("images.lock", f"{image}: {digest} is neither a digest nor `-`")
        if ":" not in image or image.endswith(":latest"):
            mistake("images.lock", f"{image} names no version")
        if image in pinned:
            mistake("images.lock", f"{image} is there twice")
        pinned[image] = set(services)
    return pinned


def check_images(files: dict[Path, dict]) -> None:
    pinned = read_lock()
    digests = {
        line.split()[0]: line.split()[1]
        for line in (DOCKER / "images.lock").read_text().splitlines()
        if line and not line.startswith("#")
    }
    used: dict[str, set[str]] = {image: set() for image in pinned}
    for path, content in files.items():
        for name, service in content.get("services", {}).items():
            image = (service or {}).get("image")
            if image is None or image.startswith("collective:"):
                continue
            plain, _, digest = image.partition("@")
            if plain not in pinned:
                mistake(path.name, f"{name}: {image} isn't in images.lock")
                continue
            if (digest or "-") != digests[plain]:
                mistake(path.name, f"{name}: {image} and images.lock differ in the digest")
            used[plain].add(name)
    for image in re.findall(r"^ARG \w+=(\S+:\S+)", (DOCKER / "server" / "Dockerfile").read_text(), re.MULTILINE):
        if image in used:
            used[image].add("Dockerfile")
        else:
            mistake("server/Dockerfile", f"{image} isn't in images.lock")
    for image, services in pinned.items():
        if services != used[image]:
            mistake("images.lock", f"{image} is for {sorted(services)}, and used by {sorted(used[image])}")


def check_ports(files: dict[Path, dict]) -> None:
    for path, content in files.items():
        for name, service in content.get("services", {}).items():
            for port in (service or {}).get("ports", []):
                may = path.name in ("override.dev.yml", "override.test.yml", "override.staging.yml")
                if path.name == "override.proxy.yml":
                    continue
                if not may:
                    mistake(path.name, f"{name} publishes {port}")
                elif not str(port).startswith("127.0.0.1:${"):
                    mistake(path.name, f"{name}: {port} isn't a variable port on 127.0.0.1")


def check_bounds(files: dict[Path, dict]) -> None:
    """Where a service is defined first, it has everything that bounds it."""
    for path, content in files.items():
        for name, service in content.get("services", {}).items():
            if not service or "image" not in service:
                continue
            if service.get("cap_drop") != ["ALL"]:
                mistake(path.name, f"{name} keeps capabilities")
            if service.get("security_opt") != ["no-new-privileges:true"]:
                mistake(path.name, f"{name} may gain privileges")
            for key in ("init", "pids_limit", "mem_limit", "cpus", "logging"):
                if key not in service:
                    mistake(path.name, f"{name} has no {key}")
            if service.get("privileged"):
                mistake(path.name, f"{name} is privileged")
            if "healthcheck" not in service and name != "rebuild":
                mistake(path.name, f"{name} has no health check")


def check_variables(files: dict[Path, dict]) -> None:
    example = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    # Sizes are told once, by their form.
    sizes = re.compile(r"[A-Z_]+_(CPUS|MEMORY|HEAP)$")
    used = set()
    for path in files:
        used |= set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", path.read_text()))
        for name, said in re.findall(r"\$\{([A-Z_]+):\?([^}]*)\}", path.read_text()):
            if not said.startswith(f"{name} is not set; ") or "collective stack init" not in said:
                mistake(path.name, f"the message for {name} doesn't say how to make one")
    for name in sorted(used - known):
        if not sizes.match(name):
            mistake(".env.example", f"{name} has no line")
    for name in sorted(known - used - {"COMPOSE_PROJECT_NAME", "STACK_ENV"}):
        if not sizes.match(name):
            mistake(".env.example", f"{name} is used by no compose file")


def main() -> int:
    files = {path: yaml.safe_load(path.read_text()) for path in FILES}
    for path in FILES:
        text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
        for what, form in NEW_FORMS.items():
            if form.search(text):
                mistake(path.name, f"{what}: docker-compose 1.29 doesn't take it")
    check_images(files)
    check_ports(files)
    check_bounds(files)
    check_variables(files)
    print("\n".join(mistakes) or f"{len(FILES)} compose files are fine")
    return 1 if mistakes else 0


sys.exit(main())
