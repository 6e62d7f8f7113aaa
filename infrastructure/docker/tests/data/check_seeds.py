#!/usr/bin/env python3
"""Whether seeds/dev_data.sql fits schema.sql, without a server: every table and
column that it names is there, and every column that must have a value is named.
make_seeds.sh makes it anew when the schema has changed."""

import re
import sys
from pathlib import Path

POSTGRES = Path(__file__).resolve().parents[2] / "postgres"


def tables(schema: str) -> dict[str, tuple[set[str], set[str]]]:
    """All columns of each table, and those that must be given."""
    found = {}
    for name, body in re.findall(r"^CREATE TABLE (\w+) \(\n(.*?)^\)", schema, re.DOTALL | re.MULTILINE):
        body = re.sub(r"--.*", "", body)
        columns = re.findall(r"^    ([a-z_]+) +([A-Z].*?),?$", body, re.MULTILINE)
        needed = {column for column, kind in columns if "NOT NULL" in kind and not re.search("DEFAULT|GENERATED", kind)}
        found[name] = ({column for column, _ in columns}, needed)
    return found


def main() -> int:
    known = tables((POSTGRES / "schema.sql").read_text())
    seeds = (POSTGRES / "seeds" / "dev_data.sql").read_text()
    inserts = re.findall(r"^INSERT INTO (\w+) \(([^)]*)\)", seeds, re.MULTILINE)
    mistakes = []
    for table, text in inserts:
        named = set(text.split(", "))
        columns, needed = known.get(table, (set(), set()))
        if not columns:
            mistakes.append(f"there is no table {table}")
            continue
        mistakes += [f"{table} has no column {name}" for name in sorted(named - columns)]
        mistakes += [f"{table}.{name} must have a value" for name in sorted(needed - named)]
    if len(inserts) < 10 or len(known) < 10:
        mistakes.append(f"only {len(inserts)} tables are filled, {len(known)} are known")
    print("\n".join(mistakes) or f"seeds: {len(inserts)} tables fit the schema")
    return 1 if mistakes else 0


sys.exit(main())
