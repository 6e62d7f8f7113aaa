#!/usr/bin/env python3
"""Prints what a team left in the database as a psql script that loads it again.

seeds.py ENVIRONMENT-FILE    the file of environment.sh with COLLECTIVE_STORE_*
"""

import csv
import io
import os
import shlex
import subprocess
import sys

# Keys, kept answers, duties and how far the bus was told belong to one deployment.
TABLES = [
    "queues", "agents", "tasks", "task_specs", "task_labels", "edges", "attempts",
    "attempt_logs", "attempt_log_sizes", "artifacts", "messages", "deliveries",
    "questions", "schedules", "events",
]

HEAD = """\
-- Tasks to look at in development: a small team has made a login, one task is
-- dead, some wait. Made by tests/data/make_seeds.sh from what a real server
-- wrote; not by hand. Loaded once, into a team that has done nothing yet.
\\set ON_ERROR_STOP on
\\set QUIET on
SET client_min_messages = warning;
SET search_path = public;

BEGIN;
SET LOCAL ROLE collective_app;
INSERT INTO teams (name, created_at) VALUES ('default', {created_at}) ON CONFLICT (name) DO NOTHING;
SELECT number AS team, last_seq = 0 AND tasks = 0 AS is_fresh FROM teams WHERE name = 'default' FOR UPDATE \\gset
\\if :is_fresh
"""

TAIL = """\
UPDATE teams SET last_seq = {last_seq}, tasks = {tasks} WHERE number = :team;
\\echo seeds: {tasks} tasks are loaded into the team default
\\else
\\echo seeds: the team default has done something already; nothing is loaded
\\endif
COMMIT;
"""


def environment(path: str) -> dict[str, str]:
    said = {}
    for line in open(path, encoding="utf-8"):
        name, _, value = line.rstrip("\n").partition("=")
        said[name] = "".join(shlex.split(value))
    return said


def rows(said: dict[str, str], query: str) -> list[list[str]]:
    answer = subprocess.run(
        ["psql", "-X", "-q", "--csv", "-t", "-P", "null=\x01", "-c", query],
        env={
            "PATH": os.environ["PATH"],
            "PGHOST": said["COLLECTIVE_STORE_HOST"],
            "PGPORT": said["COLLECTIVE_STORE_PORT"],
            "PGUSER": said["COLLECTIVE_STORE_USER"],
            "PGPASSWORD": said["COLLECTIVE_STORE_PASSWORD"],
            "PGDATABASE": said["COLLECTIVE_STORE_DATABASE"],
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return list(csv.reader(io.StringIO(answer.stdout)))


def literal(column: str, value: str) -> str:
    if column == "team":
        return ":team"
    # Secrets of leases are over with their attempts.
    if value == "\x01" or column == "secret":
        return "NULL"
    return "'" + value.replace("'", "''") + "'"


def main() -> None:
    said = environment(sys.argv[1])
    ((created_at, last_seq, tasks),) = rows(said, "SELECT created_at, last_seq, tasks FROM teams WHERE name = 'default'")
    print(HEAD.format(created_at=created_at), end="")
    for table in TABLES:
        columns = [name for (name,) in rows(said, f"""
            SELECT column_name FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position""")]
        found = rows(said, f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1, 2, 3")
        if not found:
            continue
        print(f"INSERT INTO {table} ({', '.join(columns)}) VALUES")
        lines = ["    (" + ", ".join(literal(*pair) for pair in zip(columns, row)) + ")" for row in found]
        print(",\n".join(lines) + ";")
    print(TAIL.format(last_seq=last_seq, tasks=tasks), end="")


if __name__ == "__main__":
    main()
