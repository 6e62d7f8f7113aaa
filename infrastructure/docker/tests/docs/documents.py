"""Reads the commands that the documents tell, and what they name.

It knows nothing of Docker: it only reads. A command is a line of a fenced block
marked `sh`, or code within a line whose first word is a program.
"""

import re
from dataclasses import dataclass
from pathlib import Path

DOCKER = Path(__file__).resolve().parents[2]
ROOT = DOCKER.parents[1]
DOCUMENTS = [
    DOCKER / "README.md",
    DOCKER / "DISASTER_RECOVERY.md",
    DOCKER / "postgres" / "QUICKSTART.md",
    DOCKER / "postgres" / "DATABASE_README.md",
    DOCKER / "rabbitmq" / "README.md",
    DOCKER / "redis" / "README.md",
    ROOT / "docs" / "stack.md",
]
# Code within a line is a command where it begins with one of these and says more
# than the program's name.
PROGRAMS = re.compile(
    r"(?!(?:collective stack|docker compose)$)(?:docker|docker-compose|collective|cargo|openssl|nmap|systemctl|systemd-analyze|sha256sum|age|age-keygen|"
    r"pg_dump|pg_restore|pg_basebackup|rabbitmqctl|rabbitmq-queues|redis-cli|lsof|npm|crontab) \S"
    r"|(?:[a-z./_-]*/)?(?:setup\.sh|build\.sh|run\.sh) \S|[a-z./_-]*tests/[a-z]+/[a-z_.]+"
)


@dataclass(frozen=True)
class Told:
    """A command as a document tells it."""

    command: str
    document: str
    line: int


def plain(line: str) -> str:
    """Without the remark behind it, white space made one."""
    line = re.sub(r"(?:^|\s)#\s.*$", "", line)
    return re.sub(r"\s+", " ", line).strip()


def commands(path: Path) -> list[Told]:
    """Every command of a document, in its order."""
    found, language, begun = [], None, ""
    name = str(path.relative_to(ROOT))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if fence:
            language = None if language is not None else fence[1]
            continue
        if language is None:
            for code in re.findall(r"`([^`]+)`", line):
                if PROGRAMS.match(code):
                    found.append(Told(plain(code), name, number))
        elif language in ("sh", "bash"):
            begun += line.rstrip("\\") if line.endswith("\\") else line
            if line.endswith("\\"):
                continue
            if plain(begun):
                found.append(Told(plain(begun), name, number))
            begun = ""
    return found


def all_commands() -> list[Told]:
    return [told for path in DOCUMENTS for told in commands(path)]


if __name__ == "__main__":
    for each in all_commands():
        print(f"{each.document}:{each.line}\t{each.command}")
