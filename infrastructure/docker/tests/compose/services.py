"""Reads what `compose config` prints; writes SERVICE IMAGE, a line each, without
those that wait in a profile."""

import sys

import yaml

for name, service in yaml.safe_load(sys.stdin)["services"].items():
    if not service.get("profiles"):
        print(name, service.get("image", ""))
