"""Reads Prometheus' targets; fails if one is down whose service isn't left out.

usage: targets.py [SERVICE left out…]
"""

import json
import sys

left_out = set(sys.argv[1:])
targets = json.load(sys.stdin)["data"]["activeTargets"]
down = []
for target in targets:
    host = target["discoveredLabels"]["__address__"].removeprefix("http://").split(":")[0].split("/")[0]
    if target["health"] != "up" and host not in left_out:
        down.append(f"{target['labels']['job']} {target['scrapeUrl']}: {target['lastError'] or target['health']}")
if len(targets) < 10:
    down.append(f"only {len(targets)} targets are known")
print("\n".join(down) or f"{len(targets)} targets")
sys.exit(1 if down else 0)
