"""The table of what arrived, in monitoring/ALERTS.md."""

import dataclasses
import pathlib
import re

import yaml

from .clients import http
from .stack import MONITORING

BEGIN, END = "<!-- drill -->", "<!-- end of drill -->"
REASONS = pathlib.Path(__file__).resolve().parents[1] / "not_injected.tsv"


@dataclasses.dataclass
class Result:
    alert: str
    what: str
    seconds: float | None
    why_not: str


def rules():
    groups = yaml.safe_load((MONITORING / "alert.rules.yml").read_text())["groups"]
    return [(group["name"], rule) for group in groups for rule in group["rules"]]


def reasons():
    return dict(line.split("\t", 1) for line in REASONS.read_text().splitlines() if line)


def without_result(results):
    """Alerts that no fault made fire and that have no written reason."""
    tried = {result.alert for result in results}
    written = reasons()
    names = [rule["alert"] for _, rule in rules()]
    faults = [f"{name}: no fault is injected, and {REASONS.name} has no reason" for name in names if name not in tried and name not in written]
    return faults + [f"{name}: is in {REASONS.name} and was injected" for name in written if name in tried]


def write(results, questions):
    lines = ["| group | alert | severity | for | fault in the drill | seconds to arrival |", "|---|---|---|---|---|---|"]
    by_alert = {}
    for result in results:
        by_alert.setdefault(result.alert, []).append(result)
    for group, rule in rules():
        name = rule["alert"]
        for result in by_alert.get(name) or [Result(name, "", None, reasons().get(name, ""))]:
            seconds = f"{result.seconds:.1f}" if result.seconds is not None else "–"
            what = result.what if result.seconds is not None else f"{result.what} not injected: {result.why_not}".strip()
            page = f"[{name}]({rule['annotations']['runbook_url']})"
            lines.append(f"| {group} | {page} | {rule['labels']['severity']} | {rule.get('for', '0')} | {what} | {seconds} |")
    asked = len(questions.all)
    lines += ["", f"Recording rules and panels that were asked: {asked}. Those that had data on an ordinary day: "
              f"{asked - len(questions.only_in_events()) - len(questions.elsewhere())}."]
    for title, places in (
        ("Seen only in an event", [f"{place}: in the round `{moment}`" for place, moment in questions.only_in_events().items()]),
        ("Seen only where cAdvisor runs", questions.elsewhere()),
    ):
        if places:
            lines += ["", f"{title}:", ""] + [f"- {place}" for place in places]
    page = MONITORING / "ALERTS.md"
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines) + f"\n\n{END}{after}")


def save_metric_names(stack):
    """The names that our server and this Prometheus really emit, for the check of the rules."""
    for job, port in (("collective", stack.ports["orchestrator"]), ("prometheus", stack.ports["prometheus"])):
        text = http(f"http://127.0.0.1:{port}/metrics")[1]
        names = sorted({re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and not line.startswith("#")})
        build = re.search(r'_build_info\{[^}]*version="([0-9.]+)', text)
        version = build[1] if build else "unknown"
        (MONITORING / "tests" / "metrics" / f"{job}-{version}.txt").write_text("\n".join(names) + "\n")
