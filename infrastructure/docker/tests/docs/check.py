"""What can be said of the documents without an engine: every command is listed,
and what README.md names is there."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from documents import DOCKER, DOCUMENTS, ROOT, all_commands

HERE = Path(__file__).resolve().parent
SCENES = ("none", "dev", "test", "staging", "production", "production+monitoring")
COMPOSE_FILES = [*sorted((DOCKER / "compose").glob("*.yml")), *sorted((DOCKER / "proxy").glob("*.yml"))]
# Words in capitals that stand for something of the reader's.
PLACEHOLDERS = {"NAME", "TEAM", "HOST", "NAME_MEMORY", "NAME_CPUS"}


@dataclass(frozen=True)
class Row:
    scene: str
    folder: str
    how: str
    command: str
    says: str


def rows(name: str) -> list[Row]:
    found = []
    for number, line in enumerate((HERE / name).read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        parts = line.split("\t")
        if len(parts) != 5 or not all(parts):
            raise SystemExit(f"{name}:{number}: not five columns, with a tab between them")
        row = Row(*parts)
        if row.scene == "not":
            fits = row.folder == row.how == "-"
        else:
            fits = row.scene in SCENES and row.how in ("run", "look", "set", "up", "follow", "tty")
            fits = fits and (ROOT / row.folder).is_dir()
            re.compile(row.says)
        if not fits:
            raise SystemExit(f"{name}:{number}: the scene, the folder or the way is unknown")
        found.append(row)
    return found


def unlisted() -> list[str]:
    listed = rows("commands.tsv")
    plain = {row.command for row in listed if not row.command.startswith("~")}
    patterns = [re.compile(row.command[1:]) for row in listed if row.command.startswith("~")]
    told = all_commands()
    mistakes = [
        f"{each.document}:{each.line}: neither run nor listed in tests/docs/commands.tsv: {each.command}"
        for each in told
        if each.command not in plain and not any(pattern.fullmatch(each.command) for pattern in patterns)
    ]
    known = {each.command for each in told}
    mistakes += [f"commands.tsv: no document tells: {command}" for command in sorted(plain - known)]
    if len(told) < 80:
        mistakes.append(f"only {len(told)} commands were found in the documents")
    return mistakes


def missing_paths() -> list[str]:
    """Links, and code that is a path, from every document."""
    mistakes = []
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http") and not (document.parent / target).exists():
                mistakes.append(f"{document.name}: the link {target} leads nowhere")
    text = (DOCKER / "README.md").read_text()
    for code in set(re.findall(r"`([a-z][\w./-]*/[\w./-]+|[\w-]+\.(?:yml|conf|sql|sh))`", text)):
        places = (DOCKER / code, ROOT / code, DOCKER / "compose" / code)
        if not code.startswith("infrastructure") and not any(place.exists() for place in places):
            mistakes.append(f"README.md: {code} isn't there")
    return mistakes


class Compose:
    """What the compose files define, all together."""

    def __init__(self) -> None:
        self.text = "\n".join(path.read_text() for path in COMPOSE_FILES)
        loaded = [yaml.safe_load(path.read_text()) for path in COMPOSE_FILES]
        self.base = yaml.safe_load((DOCKER / "compose" / "docker-compose.yml").read_text())
        self.services = {name for each in loaded for name in each.get("services", {})}
        self.containers = set(re.findall(r"container_name: \$\{STACK_PREFIX:-\}(\S+)", self.text))
        self.variables = set(re.findall(r"\$\{([A-Z_]+)", self.text))
        self.ports = set(re.findall(r"_PORT:-(\d+)\}", self.text))
        refusing = [DOCKER / "compose" / f"override.{name}.yml" for name in ("production", "monitoring")]
        self.required = {name for path in refusing for name in re.findall(r"\$\{([A-Z_]+):\?", path.read_text())}


def section(text: str, title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"README.md has no section `{title}`")
    return found[1]


def differ(what: str, told: set[str], there: set[str]) -> list[str]:
    mistakes = [f"README.md: {what} {name} is told, and isn't there" for name in sorted(told - there)]
    return mistakes + [f"README.md: {what} {name} is there, and isn't told" for name in sorted(there - told)]


def wrong_names() -> list[str]:
    """Services, containers, variables, ports, networks, volumes, settings, counts."""
    text = (DOCKER / "README.md").read_text()
    compose = Compose()
    spans = set(re.findall(r"`([^`\n]+)`", text))
    base = set(re.findall(r"`([a-z-]+)`", section(text, "The base, `docker-compose.yml`")))
    mistakes = differ("the service", base, set(compose.base["services"]))
    added = set(re.findall(r"`([a-z0-9-]+)`", section(text, "What the monitoring adds")))
    monitoring = yaml.safe_load((DOCKER / "compose" / "override.monitoring.yml").read_text())["services"]
    once = {name for name in monitoring if name.endswith(("-certs", "-setup"))}
    mistakes += differ("the service", added, set(monitoring) - once - set(compose.base["services"]))
    for name in sorted(set(re.findall(r"\bagent_(?!orchestrator)[a-z0-9_]+", text))):
        if name not in compose.containers and name not in compose.base["networks"]:
            mistakes.append(f"README.md: no container is named {name}")
    known = compose.variables | set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for name in sorted(word for span in spans for word in re.findall(r"^[A-Z][A-Z_]{3,}$", span)):
        if name not in known | PLACEHOLDERS:
            mistakes.append(f"README.md: no compose file has the variable {name}")
    required = set(re.findall(r"`([A-Z_]+)`", section(text, "The overrides").split("refuse to start without")[1]))
    mistakes += differ("the required variable", required, compose.required)
    for port in sorted(set(re.findall(r"localhost:(\d+)", section(text, "Quick start") + section(text, "Monitoring")))):
        if port not in compose.ports:
            mistakes.append(f"README.md: nothing publishes the port {port}")
    asked = (DOCKER / "monitoring" / "prometheus.yml").read_text() + "".join(
        path.read_text() for path in (DOCKER / "monitoring" / "targets").glob("*.yml")
    )
    for target in sorted(set(re.findall(r"`([a-z-]+:\d+)`", section(text, "Prometheus")))):
        name, port = target.split(":")
        # Blackbox exporter is asked through, and the server by each of its addresses.
        if name not in compose.services or not re.search(rf"\b{name}:{port}\b|\b{port}\b", asked):
            mistakes.append(f"README.md: Prometheus doesn't ask {target}")
    told = set(re.findall(r"^\| `(\w+_network)`", section(text, "Networking"), re.MULTILINE))
    mistakes += differ("the network", told, set(compose.base["networks"]))
    table = "\n".join(line for line in section(text, "Volumes and backups").splitlines() if line.startswith("| `"))
    mistakes += differ("the volume", set(re.findall(r"`(\w+)`", table)), set(compose.base["volumes"]))
    conf = (DOCKER / "rabbitmq" / "rabbitmq.conf").read_text()
    for setting in re.findall(r"`([a-z_.]+ = \S+?)`", section(text, "Configuration files")):
        if setting not in conf:
            mistakes.append(f"README.md: rabbitmq.conf doesn't say {setting}")
    groups = yaml.safe_load((DOCKER / "monitoring" / "alert.rules.yml").read_text())["groups"]
    count = sum("alert" in rule for group in groups for rule in group["rules"])
    if f"{count} alerts in {len(groups)} groups" not in text:
        mistakes.append(f"README.md: there are {count} alerts in {len(groups)} groups")
    return mistakes


def check() -> list[str]:
    rows("as_written.tsv")
    return unlisted() + missing_paths() + wrong_names()
