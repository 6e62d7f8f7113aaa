"""What Logstash would make of a line: the filters of monitoring/logstash/pipeline, carried out.

It knows just the plugins and options that these files use, and refuses any other, so
that a file can't be passed by what is overlooked. The syntax is read by the package
`logstash-pipeline-parser`; what the options mean is from Logstash's documentation.
"""

import datetime
import json
import re

from logstash_pipeline_parser import Pipeline

# Letters of Joda's formats that the files use.
JODA = [("yyyy", "%Y"), ("MMM", "%b"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H"), ("mm", "%M"), ("ss", "%S"), ("ZZ", "%z")]


class Grok:
    def __init__(self, text):
        self.patterns = dict(
            line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")
        )

    def compile(self, pattern):
        """A pattern as a regular expression, and which group gives which field."""
        fields = {}

        def expand(match):
            name, _, field = match[1].partition(":")
            if name not in self.patterns:
                raise ValueError(f"the pattern {name} doesn't exist")
            inner = re.sub(r"%\{([^}]+)\}", expand, self.patterns[name])
            if not field:
                return f"(?:{inner})"
            group = f"g{len(fields)}"
            fields[group] = field
            return f"(?P<{group}>{inner})"

        text = re.sub(r"%\{([^}]+)\}", expand, pattern)
        # In Ruby `m` lets the dot match line breaks, in Python `s` does.
        return re.compile(text.replace("(?m:", "(?s:"), re.MULTILINE), fields


def path(field):
    return re.findall(r"\[([^\]]+)\]", field) or [field]


def get(event, field):
    for part in path(field):
        if not isinstance(event, dict) or part not in event:
            return None
        event = event[part]
    return event


def put(event, field, value):
    *parents, last = path(field)
    for part in parents:
        event = event.setdefault(part, {})
    event[last] = value


def drop(event, field):
    *parents, last = path(field)
    for part in parents:
        event = event.get(part)
        if not isinstance(event, dict):
            return None
    return event.pop(last, None)


def filled(event, text):
    """Text with `%{[field]}` replaced."""
    return re.sub(r"%\{(\[[^}]+\])\}", lambda match: str(get(event, match[1])), text)


def options(tree):
    """A plugin's options as a dictionary; hashes become dictionaries, too."""
    found = {}
    for name, value in tree:
        value = value[0]
        if isinstance(value, list) and value and isinstance(value[0], list):
            value = {key: inner[0] for key, inner in value}
        found[name] = value
    return found


def strings(value):
    return value if isinstance(value, list) else [value]


class Filters:
    def __init__(self, folder):
        self.grok = Grok("\n".join(path.read_text() for path in sorted((folder / "patterns").iterdir())))
        self.blocks = []
        for file in sorted((folder / "pipeline").glob("*.conf")):
            for kind, body in Pipeline(file.read_text()).parse():
                if kind == "filter":
                    self.blocks.append(body)

    def run(self, event):
        for body in self.blocks:
            self.body(event, body)
        return event

    def body(self, event, steps):
        taken = False
        for name, rest in steps:
            if name in ("if", "else if"):
                condition, inner = rest
                if name == "if":
                    taken = False
                if not taken and self.holds(event, condition):
                    taken = True
                    self.body(event, inner[0])
            elif name == "else":
                if not taken:
                    self.body(event, rest)
            else:
                self.plugin(event, name, options(rest))

    def holds(self, event, condition):
        if len(condition) == 1:
            return get(event, condition[0]) not in (None, False)
        field, how, wanted = condition
        value = get(event, field)
        match how:
            case "==":
                return value == wanted
            case "in":
                return value in wanted
            case "=~":
                return value is not None and re.search(wanted.strip("/"), value) is not None
        raise ValueError(f"the condition {how} isn't known")

    def plugin(self, event, name, given):
        known = {"mutate": self.mutate, "grok": self.match, "date": self.date, "json": self.json, "translate": self.translate}
        if name not in known:
            raise ValueError(f"the plugin {name} isn't known")
        if known[name](event, given):
            for field, value in given.pop("add_field", {}).items():
                put(event, field, filled(event, value))
            for tag in strings(given.pop("add_tag", [])):
                event.setdefault("tags", []).append(tag)
            for field in strings(given.pop("remove_field", [])):
                drop(event, field)
        for option in ("add_field", "add_tag", "remove_field"):
            given.pop(option, None)
        if given:
            raise ValueError(f"{name} has options that aren't known: {given}")

    def mutate(self, event, given):
        for old, new in given.pop("rename", {}).items():
            if get(event, old) is not None:
                put(event, new, drop(event, old))
        for field, value in given.pop("replace", {}).items():
            put(event, field, filled(event, value))
        for field, kind in given.pop("convert", {}).items():
            value = get(event, field)
            if value is not None:
                put(event, field, {"integer": int, "float": float}[kind](value))
        gsub = given.pop("gsub", [])
        for field, pattern, new in zip(gsub[::3], gsub[1::3], gsub[2::3]):
            if isinstance(value := get(event, field), str):
                put(event, field, re.sub(pattern, new, value))
        for field in given.pop("lowercase", []):
            if get(event, field) is not None:
                put(event, field, get(event, field).lower())
        for field, copy in given.pop("copy", {}).items():
            if get(event, field) is not None:
                put(event, copy, get(event, field))
        return True

    def match(self, event, given):
        given.pop("patterns_dir")
        failed = given.pop("tag_on_failure")
        for field, patterns in given.pop("match").items():
            for pattern in strings(patterns):
                compiled, fields = self.grok.compile(pattern)
                found = compiled.search(str(get(event, field) or ""))
                if found:
                    for group, target in fields.items():
                        if found[group]:
                            put(event, target, found[group])
                    return True
        event.setdefault("tags", []).extend(strings(failed))
        return False

    def date(self, event, given):
        field, *forms = given.pop("match")
        zone, _ = given.pop("timezone", None), given.pop("locale", None)
        value = get(event, field)
        for form in forms:
            if form == "ISO8601":
                at = datetime.datetime.fromisoformat(value)
            elif form == "UNIX":
                at = datetime.datetime.fromtimestamp(float(value), datetime.UTC)
            else:
                text = re.sub("S+", "%f", form)
                for joda, python in JODA:
                    text = text.replace(joda, python, 1)
                at = datetime.datetime.strptime(value, text)
            if at.tzinfo is None:
                if zone != "UTC":
                    raise ValueError(f"{field} has no time zone")
                at = at.replace(tzinfo=datetime.UTC)
            put(event, "@timestamp", at.astimezone(datetime.UTC).isoformat())
        return True

    def json(self, event, given):
        failed = given.pop("tag_on_failure")
        source, target = given.pop("source"), given.pop("target")
        try:
            put(event, target, json.loads(get(event, source)))
        except ValueError:
            event.setdefault("tags", []).extend(strings(failed))
            return False
        return True

    def translate(self, event, given):
        words = given.pop("dictionary")
        source, target = given.pop("source"), given.pop("target")
        given.pop("override")
        if get(event, source) in words:
            put(event, target, words[get(event, source)])
        return True
