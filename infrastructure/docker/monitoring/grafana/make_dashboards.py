#!/usr/bin/python3
"""Writes the dashboards, so that all of them look alike.

    make_dashboards.py           writes grafana/dashboards/*.json
    make_dashboards.py --check   fails if a file is not what this would write

Each board answers one question from left to right: first a row of single
figures that are green when all is well, then how they came about.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
# Written by the schema of Grafana 11; newer ones migrate it when they load it.
SCHEMA = 39
WIDTH = 24
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
LOKI = {"type": "loki", "uid": "loki"}
ELASTICSEARCH = {"type": "elasticsearch", "uid": "elasticsearch"}
JAEGER = {"type": "jaeger", "uid": "jaeger"}


class Board:
    def __init__(self, uid, title, description):
        self.uid, self.title, self.description = uid, title, description
        self.panels = []
        self.x = self.y = self.height = 0

    def place(self, width, height):
        if self.x + width > WIDTH:
            self.x, self.y, self.height = 0, self.y + self.height, 0
        at = {"x": self.x, "y": self.y, "w": width, "h": height}
        self.x, self.height = self.x + width, max(self.height, height)
        return at

    def panel(self, kind, title, description, targets, width, height, source=PROMETHEUS, **more):
        self.panels.append({
            "id": len(self.panels) + 1, "type": kind, "title": title, "description": description,
            "datasource": source, "gridPos": self.place(width, height), "targets": targets, **more,
        })

    def stat(self, title, description, expr, unit="short", warn=None, bad=None, low=False, none="0", width=4):
        """One figure. It turns yellow and red from `warn` and `bad` on; with `low`, below them."""
        self.panel(
            "stat", title, description, [ask(expr, instant=True)], width, 4,
            fieldConfig={"defaults": {"unit": unit, "noValue": none, "thresholds": steps(warn, bad, low), "color": {"mode": "thresholds"}}, "overrides": []},
            options={"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "background", "graphMode": "none", "textMode": "auto"},
        )

    def graph(self, title, description, targets, unit="short", limit=None, stack=False, width=12, height=8, top=None):
        """Lines over time. `limit` draws where the alert begins."""
        custom = {"lineWidth": 1, "fillOpacity": 20 if stack else 5, "showPoints": "never", "spanNulls": False}
        if stack:
            custom["stacking"] = {"mode": "normal", "group": "A"}
        if limit is not None:
            custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults = {"unit": unit, "min": 0, "custom": custom, "thresholds": steps(None, limit, False), "color": {"mode": "palette-classic"}}
        if top is not None:
            defaults["max"] = top
        self.panel(
            "timeseries", title, description, [ask(expr, legend, ref) for (expr, legend), ref in zip(targets, "ABCDEFGH")], width, height,
            fieldConfig={"defaults": defaults, "overrides": []},
            options={"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}},
        )

    def table(self, title, description, expr, columns, unit="short", width=12, height=8):
        """The labels of a query and its value, the largest first."""
        rename = {**columns, "Value": columns.get("Value", "value")}
        self.panel(
            "table", title, description, [ask(expr, instant=True, table=True)], width, height,
            fieldConfig={"defaults": {"unit": unit, "custom": {"align": "auto"}}, "overrides": []},
            options={"showHeader": True, "sortBy": [{"displayName": rename["Value"], "desc": True}]},
            transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True}, "renameByName": rename}}],
        )

    def alerts(self, title, groups, width=12, height=8):
        self.table(
            title, "Alerts that fire now; each has a page in monitoring/runbooks.",
            f'max by (alertname, severity, instance, team, queue) (ALERTS{{alertstate="firing",alertname=~"{groups}",severity!="none"}})',
            {"alertname": "alert", "severity": "severity", "Value": "firing"}, width=width, height=height,
        )

    def json(self):
        return {
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["collective"],
            "schemaVersion": SCHEMA, "version": 1, "editable": False, "graphTooltip": 1, "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"}, "timezone": "browser", "templating": {"list": []},
            "annotations": {"list": []},
            "links": [{"type": "dashboards", "tags": ["collective"], "title": "Boards", "asDropdown": True, "keepTime": True, "includeVars": False, "targetBlank": False, "icon": "external link", "tooltip": "", "url": ""}],
            "panels": self.panels,
        }


def ask(expr, legend="", ref="A", instant=False, table=False):
    target = {"refId": ref, "datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, "instant": instant, "range": not instant}
    if table:
        target["format"] = "table"
    return target


def steps(warn, bad, low):
    """Colours from a value on; `low` says that small is bad."""
    if low:
        found = [{"color": "red", "value": None}]
        if warn is not None:
            found.append({"color": "yellow", "value": bad})
        found.append({"color": "green", "value": warn if warn is not None else bad})
    else:
        found = [{"color": "green", "value": None}]
        if warn is not None:
            found.append({"color": "yellow", "value": warn})
        if bad is not None:
            found.append({"color": "red", "value": bad})
    return {"mode": "absolute", "steps": found}


def overview():
    board = Board("collective-overview", "Overview", "Is the team working, and does anything need a person?")
    board.stat("Alerts firing", "All but the watchdog.", 'count(ALERTS{alertstate="firing",severity!="none"})', warn=1, bad=3)
    board.stat("Services down", "Targets that don't answer their scrapes.", "count(up == 0)", bad=1)
    board.stat("Tasks waiting", "In all queues of all teams.", "sum(team_queue:orchestrator_task_queue_size:max)", warn=500, bad=1000)
    board.stat("Agents present", "With a free slot or at work.", "sum(team:orchestrator_agents_available:max) + sum(team:orchestrator_agents_busy:max)", bad=1, low=True)
    board.stat("Dead letters", "Tasks that failed for good and wait for a person.", "sum(team:orchestrator_dead_letters:max)", warn=1, bad=20)
    board.stat("Oldest backup", "The part whose last good backup is longest ago.", "max(part:collective_backup_age_seconds:min)", unit="s", warn=90000, bad=93600, none="no backup")
    board.graph("Tasks a second", "Created, done and failed, all queues together.", [
        ("sum(team_queue:orchestrator_tasks_created:rate5m)", "created"),
        ("sum(team_queue:orchestrator_tasks_completed:rate5m)", "done"),
        ("sum(team_queue:orchestrator_tasks_failed:rate5m)", "failed"),
    ], unit="ops")
    board.graph("Waiting tasks by queue", "What no agent has taken yet. The line is where the alert begins.", [
        ("topk(10, team_queue:orchestrator_task_queue_size:max)", "{{team}} {{queue}}")], limit=1000)
    board.table("Services", "1 answers, 0 doesn't.", "min by (job) (up)", {"job": "service", "Value": "up"}, width=8)
    board.alerts("What fires", ".+", width=16)
    return board


def orchestrator():
    board = Board("collective-orchestrator", "Orchestrator", "How tasks flow, where they wait, and how the server answers.")
    board.stat("Parts down", "Store, bus and cache as the replicas see them.", "count(min by (part) (orchestrator_part_up) == 0)", bad=1)
    board.stat("Replicas", "Servers that answer.", 'count(up{job="orchestrator"} == 1)', bad=1, low=True)
    board.stat("Failing tasks", "Share of the last 15 minutes that became dead letters, worst queue.", "max(team_queue:orchestrator_task_failures:ratio15m)", unit="percentunit", warn=0.05, bad=0.1)
    board.stat("Answers with errors", "Share of 5xx, probes left out.", "job:http_request_errors:ratio5m", unit="percentunit", warn=0.01, bad=0.05)
    board.stat("Leases lost", "Within the hour: agents that died, hung or lost their connection.", "sum(increase(orchestrator_leases_lost_total[1h]))", warn=1, bad=30)
    board.stat("News behind", "Events that the broker wasn't told of yet.", "max(orchestrator_relay_backlog_events)", warn=100, bad=1000)
    board.graph("Waiting and running", "Waiting above, running below it, all queues.", [
        ("sum(team_queue:orchestrator_task_queue_size:max)", "waiting"), ("sum(team_queue:orchestrator_tasks_running:max)", "running")], stack=True)
    board.graph("Agents", "Free ones and those at work, by team.", [
        ("team:orchestrator_agents_available:max", "{{team}} free"), ("team:orchestrator_agents_busy:max", "{{team}} at work")])
    board.graph("How long attempts run", "95 of 100 end within this time.", [("queue:orchestrator_task_duration_seconds:p95", "{{queue}}")], unit="s")
    board.graph("Failed attempts a second", "By what ended them; a failed attempt may be tried again.", [
        ("sum by (outcome, reason) (rate(orchestrator_attempts_failed_total[5m]))", "{{outcome}} {{reason}}")], unit="ops")
    board.graph("Requests a second", "The ten busiest routes.", [("topk(10, route:http_requests:rate5m)", "{{route}}")], unit="reqps")
    board.graph("Slowest requests", "One in a hundred takes longer. Routes that wait on purpose are left out.", [
        ("topk(10, route:http_request_duration_seconds:p99)", "{{route}}")], unit="s", limit=1)
    board.graph("Refused requests", "Without a valid key, and with a key that lacks the right.", [
        ("sum(rate(orchestrator_auth_failures_total[5m]))", "no valid key"), ("sum(rate(orchestrator_unauthorized_access_total[5m]))", "not allowed")], unit="ops")
    board.graph("Memory of the servers", "Of each replica.", [('process_resident_memory_bytes{job="orchestrator"}', "{{instance}}")], unit="bytes")
    return board


def rabbitmq():
    board = Board("collective-rabbitmq", "RabbitMQ", "Does the broker take and hand on messages?")
    board.stat("Broker", "Whether it answers.", 'min(up{job="rabbitmq"})', bad=1, low=True, none="unknown")
    board.stat("Messages", "In all queues.", "sum(queue:rabbitmq_messages:sum)", warn=5000, bad=10000)
    board.stat("Memory of limit", "At 100 % publishers are blocked.", "max(instance:rabbitmq_memory:ratio)", unit="percentunit", warn=0.6, bad=0.8)
    board.stat("Disk above limit", "Free disk less the limit that blocks publishers.", "min(rabbitmq_disk_space_available_bytes - rabbitmq_disk_space_available_limit_bytes)", unit="bytes", warn=2e9, bad=0, low=True)
    board.stat("Alarms", "Memory and disk alarms that block publishers now.", "sum(rabbitmq_alarms_memory_used_watermark) + sum(rabbitmq_alarms_free_disk_space_watermark)", bad=1)
    board.stat("Connections", "Open ones.", "sum(rabbitmq_connections)", bad=1, low=True)
    board.graph("Messages by queue", "The ten longest. The line is where the alert begins.", [("topk(10, queue:rabbitmq_messages:sum)", "{{queue}}")], limit=10000)
    board.graph("Messages a second", "What comes in, goes out and is confirmed by consumers.", [
        ("sum(instance:rabbitmq_messages_published:rate5m)", "published"),
        ("sum(instance:rabbitmq_messages_delivered:rate5m)", "delivered"),
        ("sum(instance:rabbitmq_messages_acknowledged:rate5m)", "acknowledged"),
    ], unit="ops")
    board.graph("Lost ways", "Messages without a queue, and messages that were refused or came too often.", [
        ("sum(rate(rabbitmq_global_messages_unroutable_returned_total[5m])) + sum(rate(rabbitmq_global_messages_unroutable_dropped_total[5m]))", "no queue"),
        ("sum(rate(rabbitmq_global_messages_dead_lettered_rejected_total[5m])) + sum(rate(rabbitmq_global_messages_dead_lettered_delivery_limit_total[5m]))", "dead letters"),
    ], unit="ops")
    board.graph("Memory", "Used, and the limit.", [("rabbitmq_process_resident_memory_bytes", "used"), ("rabbitmq_resident_memory_limit_bytes", "limit")], unit="bytes")
    board.table("Queues without a consumer", "Task queues are polled, and the dead letters are read by people; others should have one.", "sum by (vhost, queue) (rabbitmq_detailed_queue_messages_ready) and sum by (vhost, queue) (rabbitmq_detailed_queue_consumers) == 0", {"queue": "queue", "vhost": "vhost", "Value": "messages"})
    board.graph("Connections and channels", "Many new ones a second mean clients that come back again and again.", [
        ("sum(rabbitmq_connections)", "connections"), ("sum(rabbitmq_channels)", "channels"), ("sum(rate(rabbitmq_connections_opened_total[5m]))", "new connections a second")])
    return board


def postgresql():
    board = Board("collective-postgresql", "PostgreSQL", "Is the store there, has it room, and does anything hold it up?")
    board.stat("Database", "Whether the exporter reaches it.", "min(pg_up)", bad=1, low=True, none="unknown")
    board.stat("Connections", "The alert begins at 200.", "sum(instance:pg_connections:sum)", warn=150, bad=200)
    board.stat("Of the limit", "Share of max_connections.", "max(instance:pg_connections:ratio)", unit="percentunit", warn=0.7, bad=0.9)
    board.stat("Longest query", "The oldest transaction that does something.", "max(datname:pg_longest_transaction_seconds:max)", unit="s", warn=30, bad=60)
    board.stat("Cache hits", "Blocks that needn't be read from the disk.", "min(instance:pg_cache_hits:ratio5m)", unit="percentunit", warn=0.95, bad=0.9, low=True, none="no reads")
    board.stat("Deadlocks", "Within the hour.", "sum(increase(pg_stat_database_deadlocks[1h]))", bad=1)
    board.graph("Connections by state", "Idle in transaction is the one to look at.", [("sum by (state) (pg_stat_activity_count)", "{{state}}")], limit=200, stack=True)
    board.graph("Transactions a second", "Committed and rolled back, by database.", [("datname:pg_transactions:rate5m", "{{datname}}")], unit="ops")
    board.graph("Rows a second", "Written and read.", [
        ("sum(rate(pg_stat_database_tup_inserted[5m]))", "inserted"), ("sum(rate(pg_stat_database_tup_updated[5m]))", "updated"),
        ("sum(rate(pg_stat_database_tup_deleted[5m]))", "deleted"), ("sum(rate(pg_stat_database_tup_fetched[5m]))", "fetched")], unit="ops")
    board.graph("Size", "Of each database.", [("sum by (datname) (pg_database_size_bytes)", "{{datname}}")], unit="bytes")
    board.graph("Locks", "Held and awaited, by mode.", [("sum by (mode) (pg_locks_count) > 0", "{{mode}}")])
    board.graph("WAL archive", "Segments a minute. Failed ones break point-in-time restore.", [
        ("60 * sum(rate(pg_stat_archiver_archived_count[5m]))", "archived"), ("60 * sum(rate(pg_stat_archiver_failed_count[5m]))", "failed")])
    return board


def redis():
    board = Board("collective-redis", "Redis", "Does the cache answer, has it room, does it find what is asked?")
    board.stat("Redis", "Whether the exporter reaches it.", "min(redis_up)", bad=1, low=True, none="unknown")
    board.stat("Hit rate", "Should be above 80 %.", "min(instance:redis_hits:ratio5m)", unit="percentunit", warn=0.8, bad=0.6, low=True, none="no lookups")
    board.stat("Memory of limit", "At 100 % keys are evicted.", "max(instance:redis_memory:ratio)", unit="percentunit", warn=0.8, bad=0.9, none="no limit")
    board.stat("Evictions", "Keys thrown away within the hour.", "sum(increase(redis_evicted_keys_total[1h]))", warn=1, bad=1000)
    board.stat("Clients", "Connected ones.", "sum(redis_connected_clients)", bad=1, low=True)
    board.stat("Last save", "Whether the last snapshot could be written: 1 or 0.", "min(redis_rdb_last_bgsave_status)", bad=1, low=True, none="unknown")
    board.graph("Hit rate", "Lookups that found something. Below the line the cache is of little use.", [("instance:redis_hits:ratio5m", "{{instance}}")], unit="percentunit", top=1)
    board.graph("Memory", "Used, and maxmemory.", [("redis_memory_used_bytes", "used"), ("redis_memory_max_bytes > 0", "limit")], unit="bytes")
    board.graph("Commands a second", "The ten most frequent.", [("topk(10, sum by (cmd) (rate(redis_commands_total[5m])))", "{{cmd}}")], unit="ops")
    board.graph("Evicted and expired keys a second", "Expired is normal, evicted means that there is no room.", [
        ("sum(instance:redis_evictions:rate5m)", "evicted"), ("sum(rate(redis_expired_keys_total[5m]))", "expired")], unit="ops")
    board.graph("Keys", "In each database.", [("redis_db_keys > 0", "{{db}}")])
    board.graph("Refused", "Connections over maxclients, and commands that failed.", [
        ("sum(rate(redis_rejected_connections_total[5m]))", "connections"), ("sum by (cmd) (rate(redis_commands_failed_calls_total[5m])) > 0", "{{cmd}}")], unit="ops")
    return board


def host():
    board = Board("collective-host-and-containers", "Host and containers", "Has the machine room, and which container takes it?")
    board.stat("Processors", "Busy share.", "max(instance:node_cpu:ratio5m)", unit="percentunit", warn=0.6, bad=0.8)
    board.stat("Memory", "Used share.", "max(instance:node_memory:ratio)", unit="percentunit", warn=0.75, bad=0.9)
    board.stat("Fullest disk", "Free share of the file system with the least.", "min(mountpoint:node_filesystem_avail:ratio)", unit="percentunit", warn=0.2, bad=0.1, low=True)
    board.stat("Containers", "That run.", 'count(container_last_seen{name!=""})', bad=1, low=True)
    board.stat("Killed for memory", "Processes within the hour, containers' limits included.", "sum(increase(node_vmstat_oom_kill[1h]))", bad=1)
    board.stat("Load for each processor", "Above 1 somebody waits.", "max(node_load5 / on (instance) count by (instance) (node_cpu_seconds_total{mode=\"idle\"}))", warn=1, bad=2)
    board.graph("Processors", "Busy share of each machine. The line is where the alert begins.", [("instance:node_cpu:ratio5m", "{{instance}}")], unit="percentunit", limit=0.8, top=1)
    board.graph("Memory", "Used share of each machine.", [("instance:node_memory:ratio", "{{instance}}")], unit="percentunit", limit=0.9, top=1)
    board.graph("Processor time by container", "Processors' worth of time.", [("topk(10, name:container_cpu_usage_seconds:rate5m)", "{{name}}")])
    board.graph("Memory by container", "Working set, the ten largest.", [("topk(10, name:container_memory_working_set_bytes:max)", "{{name}}")], unit="bytes")
    board.graph("Network", "In and out of the machine's own interfaces.", [
        ("device:node_network_receive_bytes:rate5m", "{{device}} in"), ("device:node_network_transmit_bytes:rate5m", "{{device}} out")], unit="Bps", limit=100e6)
    board.graph("Disk", "Read and written.", [
        ("sum by (instance) (rate(node_disk_read_bytes_total[5m]))", "read"), ("sum by (instance) (rate(node_disk_written_bytes_total[5m]))", "written")], unit="Bps")
    board.table("Free disk", "Share that is free, by file system.", "mountpoint:node_filesystem_avail:ratio", {"mountpoint": "file system", "Value": "free"}, unit="percentunit")
    board.table("Backups", "Age of the last good backup of each part.", "part:collective_backup_age_seconds:min", {"part": "part", "Value": "age"}, unit="s")
    return board


def logs_and_traces():
    board = Board("collective-logs-and-traces", "Logs and traces", "What was said, and what a request did. Needs the monitoring overlay.")
    levels = {"refId": "A", "datasource": LOKI, "expr": 'sum by (level) (count_over_time({service=~".+"} | level=~"warn|error" [$__interval]))', "legendFormat": "{{level}}", "queryType": "range"}
    board.panel("timeseries", "Warnings and errors", "Lines of all services, from Loki.", [levels], 24, 6, source=LOKI,
                fieldConfig={"defaults": {"unit": "short", "min": 0, "custom": {"drawStyle": "bars", "fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}}}, "overrides": []},
                options={"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}})
    lines = {"refId": "A", "datasource": LOKI, "expr": '{service=~".+"} | level=~"warn|error"', "queryType": "range", "maxLines": 200}
    options = {"showTime": True, "showLabels": False, "showCommonLabels": False, "wrapLogMessage": True, "prettifyLogMessage": False, "enableLogDetails": True, "sortOrder": "Descending", "dedupStrategy": "none"}
    board.panel("logs", "Latest warnings and errors (Loki)", "The newest first; open a line for its fields.", [lines], 12, 14, source=LOKI, options=options)
    elastic = {"refId": "A", "datasource": ELASTICSEARCH, "query": "log.level:(warn OR error)", "timeField": "@timestamp", "metrics": [{"id": "1", "type": "logs", "settings": {"limit": "200"}}], "bucketAggs": []}
    board.panel("logs", "Latest warnings and errors (Elasticsearch)", "The same from the ELK stack, with parsed fields.", [elastic], 12, 14, source=ELASTICSEARCH, options=options)
    traces = {"refId": "A", "datasource": JAEGER, "queryType": "search", "service": "collective", "limit": 20}
    board.panel("table", "Latest traces", "Requests of the server; click one to open it.", [traces], 24, 8, source=JAEGER,
                fieldConfig={"defaults": {"custom": {"align": "auto"}}, "overrides": []}, options={"showHeader": True})
    return board


def main():
    boards = [overview(), orchestrator(), rabbitmq(), postgresql(), redis(), host(), logs_and_traces()]
    FOLDER.mkdir(exist_ok=True)
    different = []
    for board in boards:
        path = FOLDER / f"{board.uid.removeprefix('collective-')}.json"
        text = json.dumps(board.json(), indent=2, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text() != text:
            different.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text)
    if "--check" in sys.argv[1:] and different:
        sys.exit(f"make_dashboards: {', '.join(different)} is not what make_dashboards.py writes\nhint: run it and commit what it wrote")


main()
