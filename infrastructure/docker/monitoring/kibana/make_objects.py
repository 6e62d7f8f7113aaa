#!/usr/bin/python3
"""Writes the saved objects for Kibana: one view of the logs, searches, and a board.

    make_objects.py           writes kibana/collective.ndjson
    make_objects.py --check   fails if the file is not what this would write

Import: Stack Management, Saved Objects, Import; or
    curl -u elastic -H 'kbn-xsrf: x' -F file=@collective.ndjson 'http://localhost:5601/api/saved_objects/_import?overwrite=true'
"""

import json
import pathlib
import sys

FILE = pathlib.Path(__file__).resolve().parent / "collective.ndjson"
VIEW = "collective-logs"
SEARCH_SOURCE = "kibanaSavedObjectMeta.searchSourceJSON.index"

# Title, what for, query (KQL), columns beside the time.
SEARCHES = [
    ("all", "All lines", "What every service said.", "", ["service.name", "log.level", "message"]),
    ("errors", "Warnings and errors", "Of all services.", "log.level: (warn or error or fatal)", ["service.name", "log.level", "message", "error.message"]),
    ("logins", "Failed logins", "At the server, PostgreSQL, RabbitMQ and Redis.", "event.outcome: failure and event.category: authentication", ["service.name", "user.name", "source.address", "message"]),
    ("requests", "Failed requests", "What the server answered with 5xx, and how long it took.", "http.response.status_code >= 500", ["url.path", "http.response.status_code", "collective.code", "collective.reason", "collective.took_ms", "http.request.id"]),
    ("tasks", "Tasks that died, leases that ran out", "By team, task and agent.", "collective.task: *", ["collective.team", "collective.task", "collective.agent", "message", "collective.reason"]),
    ("statements", "Slow statements and deadlocks", "From PostgreSQL's log.", "postgres.duration_ms: * or tags: deadlock", ["postgres.database", "postgres.user", "postgres.duration_ms", "postgres.statement", "message"]),
]


def view():
    return {
        "id": VIEW, "type": "index-pattern", "references": [],
        "attributes": {"name": "Collective logs", "title": "collective-logs-*", "timeFieldName": "@timestamp"},
    }


def search(name, title, description, query, columns):
    source = {"query": {"query": query, "language": "kuery"}, "filter": [], "indexRefName": SEARCH_SOURCE}
    return {
        "id": f"collective-{name}", "type": "search",
        "references": [{"id": VIEW, "name": SEARCH_SOURCE, "type": "index-pattern"}],
        "attributes": {
            "title": title, "description": description, "columns": columns, "sort": [["@timestamp", "desc"]],
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
        },
    }


def board():
    panels, references = [], []
    for number, (name, *_rest) in enumerate(SEARCHES[1:], start=1):
        reference = f"panel_{number}"
        wide = name == "errors"
        row = 0 if wide else 15 + 15 * ((number - 2) // 2)
        panels.append({
            "type": "search", "panelIndex": str(number), "panelRefName": reference, "embeddableConfig": {},
            "gridData": {"i": str(number), "x": 0 if wide or number % 2 == 0 else 24, "y": row, "w": 48 if wide else 24, "h": 15},
        })
        references.append({"id": f"collective-{name}", "name": f"{number}:{reference}", "type": "search"})
    return {
        "id": "collective-board", "type": "dashboard", "references": references,
        "attributes": {
            "title": "Collective logs", "description": "What needs a person, from the logs.", "version": 1,
            "timeRestore": True, "timeFrom": "now-3h", "timeTo": "now", "panelsJSON": json.dumps(panels),
            "optionsJSON": json.dumps({"useMargins": True, "hidePanelTitles": False}),
            "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps({"query": {"query": "", "language": "kuery"}, "filter": []})},
        },
    }


def main():
    objects = [view(), *[search(*entry) for entry in SEARCHES], board()]
    text = "".join(json.dumps(one, sort_keys=True) + "\n" for one in objects)
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text() != text:
            sys.exit(f"make_objects: {FILE} is not what this writes\nhint: run it and commit what it wrote")
        return
    FILE.write_text(text)


main()
