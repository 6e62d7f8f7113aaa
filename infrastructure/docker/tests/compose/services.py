"""Reads what `compose config` prints; writes SERVICE IMAGE, a line each."""

import sys

import yaml

for name, service in yaml.safe_load(sys.stdin)["services"].items():
    print(name, service.get("image", ""))
