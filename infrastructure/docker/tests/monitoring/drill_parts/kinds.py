"""Reads a server's log; writes each kind of line once, with what continues it.

Two lines are of one kind if they differ in numbers, names in quotes and addresses
only. Lines that are no log lines of the server (its entrypoint's) are left out.
"""

import re
import sys

BEGINS = {
    "postgres": re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3} [A-Z]+ \["),
    "rabbitmq": re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{6}[+-]"),
    "redis": re.compile(r"\d+:(?:[CMSX] \d{2} |signal-handler )"),
}


def kind(text: str) -> str:
    text = re.sub(r"\"[^\"]*\"|'[^']*'|<[^>]*>", "q", text)
    return re.sub(r"[0-9a-f]*\d[0-9a-fA-F.:/x-]*", "n", text)


def main() -> None:
    begins = BEGINS[sys.argv[1]]
    seen: set[str] = set()
    events: list[list[str]] = []
    for line in sys.stdin.read().splitlines():
        if begins.match(line):
            events.append([line])
        elif events and line[:1].isspace() and line.strip():
            events[-1].append(line)
    for event in events:
        if kind(event[0]) not in seen:
            seen.add(kind(event[0]))
            print("\n".join(event[:12]))


main()
