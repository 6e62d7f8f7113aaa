"""Every recording rule and every panel of the dashboards, asked on the real Prometheus."""

import json
import re

import yaml

from .stack import MONITORING

ORDINARY = "an ordinary day"
# Nothing here starts cAdvisor or Grafana; these need them.
ELSEWHERE = re.compile(r"container_|grafana")


def expressions():
    """Pairs of where an expression stands and what it asks."""
    groups = yaml.safe_load((MONITORING / "recording.rules.yml").read_text())["groups"]
    for group in groups:
        for rule in group["rules"]:
            yield f"recording.rules.yml: {rule['record']}", rule["record"]
    for path in sorted((MONITORING / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                if target.get("datasource", {}).get("type") == "prometheus":
                    yield f"{path.stem}: {panel['title']} ({target['refId']})", target["expr"]


def without_variables(expression):
    """What Grafana would send: its variables replaced."""
    for name, value in (("$__rate_interval", "20s"), ("$__interval", "20s"), ("$__range", "1m")):
        expression = expression.replace(name, value)
    expression = re.sub(r"\$\{?[a-z_]+(:[a-z]+)?\}?", ".*", expression)
    return re.sub(r"\[[0-9]+[mhd]\]", "[20s]", expression)


class Questions:
    def __init__(self, stack):
        self.stack = stack
        self.answered = {}
        self.refused = {}
        self.all = [(place, without_variables(text)) for place, text in expressions()]

    def ask(self, moment):
        """Asks all that had no answer yet."""
        for place, expression in self.all:
            if place in self.answered:
                continue
            try:
                got = self.stack.query(expression)
            except ValueError as error:
                self.refused[place] = str(error)
                continue
            if any(one["value"][1] != "NaN" for one in got):
                self.answered[place] = moment

    def unanswered(self):
        faults = [f"{place}: {why}" for place, why in self.refused.items()]
        for place, expression in self.all:
            if place not in self.answered and not ELSEWHERE.search(place + expression):
                faults.append(f"{place} never gave data: {expression}")
        return faults

    def only_in_events(self):
        return {place: moment for place, moment in self.answered.items() if moment != ORDINARY}

    def elsewhere(self):
        return [place for place, expression in self.all if place not in self.answered and ELSEWHERE.search(place + expression)]
