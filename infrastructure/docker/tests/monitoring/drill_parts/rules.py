"""The copy of the configuration that the drill runs: the same alerts, less patience.

Thresholds stay. `for:`, the windows in brackets and the intervals are shortened,
and targets are replaced by the drill's own ports.
"""

import re

import yaml

# Windows of the rules and what they are in the drill, scraped every 2 seconds.
WINDOWS = {
    "5m": "20s", "10m": "20s", "15m": "40s", "30m": "30s", "1h": "30s",
    "6h": "30s", "1d": "10m", "7d": "10m",
}
# How long something has to last.
FOR = "2s"
SCRAPE = "2s"


def shortened(text):
    """A rule file with short windows; an unknown window is an error, so that none stays long."""

    def window(match):
        return f"[{WINDOWS[match[1]]}]"

    text = re.sub(r"\[([0-9]+[smhd])\]", window, text)
    return re.sub(r"(?m)^(\s+for:).*$", rf"\1 {FOR}", text)


def alertmanager(text):
    """The routes with short waits."""
    waits = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1m"}
    return re.sub(
        r"(?m)^(\s+)(group_wait|group_interval|repeat_interval):.*$",
        lambda match: f"{match[1]}{match[2]}: {waits[match[2]]}",
        text,
    )


def prometheus(text, ports, folder):
    """The jobs with the drill's targets. `ports` maps the jobs to ports on this machine."""
    config = yaml.safe_load(text)
    config["global"] = {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE}
    config["alerting"] = {
        "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports['alertmanager']}"]}]}]
    }
    jobs = []
    for job in config["scrape_configs"]:
        name = job["job_name"]
        if name not in ports:
            continue
        for way in ("static_configs", "dns_sd_configs", "file_sd_configs"):
            job.pop(way, None)
        job["file_sd_configs"] = [{"files": [f"{folder}/targets/{name}.json"], "refresh_interval": "1s"}]
        for relabel in job.get("relabel_configs", []):
            if relabel.get("replacement") == "blackbox-exporter:9115":
                relabel["replacement"] = f"127.0.0.1:{ports[name]}"
        jobs.append(job)
    config["scrape_configs"] = jobs
    config["rule_files"] = ["*.rules.yml"]
    return yaml.safe_dump(config, sort_keys=False)
