"""Faults of PostgreSQL, RabbitMQ and Redis."""

import os
import shutil
import signal
import subprocess
import time

from .clients import Amqp, AmqpRefused, Redis, long, short
from .fault import Repeat, fault
from .stack import PASSWORD


def session(stack, script, user="admin"):
    """A psql that runs a script in the background."""
    process = subprocess.Popen(
        [*stack.psql("agent_orchestrator", user), "-q"], env={**os.environ, "PGPASSWORD": PASSWORD},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )
    process.stdin.write(script)
    process.stdin.flush()
    return process


def end(process):
    process.kill()
    process.stdin.close()
    process.wait()


@fault("a query that sleeps for 100 s", round="long", limit=130, PostgreSQLSlowQueries={})
def slow_query(stack):
    process = session(stack, "SELECT pg_sleep(100);\n")
    yield
    end(process)


@fault("a session that begins a transaction and waits", round="long", limit=180, PostgreSQLIdleInTransaction={})
def idle_in_transaction(stack):
    process = session(stack, "BEGIN; SELECT 1;\n")
    yield
    end(process)


@fault("two transactions that take the same rows in opposite order, four times", round="postgresql", PostgreSQLDeadlocks={})
def deadlocks(stack):
    stack.sql("CREATE TABLE drill_rows (id int PRIMARY KEY, n int)", "agent_orchestrator")
    stack.sql("INSERT INTO drill_rows VALUES (1, 0), (2, 0)", "agent_orchestrator")
    for _ in range(4):
        both = [
            session(stack, f"BEGIN; UPDATE drill_rows SET n = 1 WHERE id = {a}; SELECT pg_sleep(0.3); UPDATE drill_rows SET n = 1 WHERE id = {b}; COMMIT;\n")
            for a, b in ((1, 2), (2, 1))
        ]
        time.sleep(1)
        for process in both:
            end(process)
    yield
    stack.sql("DROP TABLE drill_rows", "agent_orchestrator")


def pgbench(stack, clients, script, seconds):
    path = stack.home / f"bench-{clients}-{len(script)}.sql"
    path.write_text(script)
    stack.start(
        "pgbench", ["pgbench", "-n", "-h", "127.0.0.1", "-p", stack.ports["pg"], "-U", "admin", "-c", clients,
                    "-T", seconds, "-f", path, "postgres"], env={"PGPASSWORD": PASSWORD},
    )


@fault("a client that rolls back all it does, many times a second", round="postgresql 2", PostgreSQLRollbacksHigh={})
def rollbacks(stack):
    pgbench(stack, 1, "BEGIN;\nROLLBACK;\n\\sleep 10 ms\n", 60)
    yield
    stack.stop("pgbench")


@fault("205 clients that stay", round="postgresql 3", PostgreSQLHighConnections={})
def many_connections(stack):
    pgbench(stack, 205, "\\sleep 120 s\n", 120)
    yield
    stack.stop("pgbench")


@fault("all but a few of max_connections are taken", round="postgresql 4", PostgreSQLConnectionsNearLimit={})
def near_the_limit(stack):
    pgbench(stack, 236, "\\sleep 120 s\n", 120)
    yield
    stack.stop("pgbench")


@fault("the archive's folder refuses", round="postgresql", WALArchiveFailing={})
def archive_fails(stack):
    (stack.home / "archive_works").unlink()
    repeat = Repeat(2, lambda: stack.sql("SELECT pg_logical_emit_message(true, 'drill', 'x'), pg_switch_wal()"))
    yield
    repeat.stop()
    (stack.home / "archive_works").touch()


@fault("PostgreSQL is stopped", round="stop postgresql", PostgreSQLDown={})
def postgres_stops(stack):
    stack.stop("pg", signal.SIGINT)
    yield
    stack.again("pg")
    stack.wait_for_postgres()


@fault("10,001 messages in a queue that nobody reads", round="rabbitmq",
       RabbitMQHighQueueSize={"queue": "drill.jobs"}, RabbitMQConsumerDown={"queue": "drill.jobs"})
def long_queue(stack):
    amqp = stack.amqp()
    amqp.declare("drill.jobs")
    amqp.publish(10_001, "drill.jobs")
    yield
    amqp.delete("drill.jobs")
    amqp.close()


@fault("messages to a queue that doesn't exist", round="rabbitmq", MessagesUnroutable={})
def unroutable(stack):
    amqp = stack.amqp()
    repeat = Repeat(1, lambda: amqp.publish(2, "drill.nowhere"))
    yield
    repeat.stop()
    amqp.close()


@fault("a consumer that refuses what it gets", round="rabbitmq", MessagesDeadLettered={})
def dead_lettered(stack):
    amqp = stack.amqp()
    amqp.declare("drill.dead")
    arguments = short("x-dead-letter-exchange") + b"S" + long(b"")
    arguments += short("x-dead-letter-routing-key") + b"S" + long(b"drill.dead")
    amqp.declare("drill.refused", arguments)

    def refuse():
        amqp.publish(2, "drill.refused")
        while tag := amqp.get("drill.refused"):
            amqp.reject(tag)

    repeat = Repeat(1, refuse)
    yield
    repeat.stop()
    for queue in ("drill.refused", "drill.dead"):
        amqp.delete(queue)
    amqp.close()


@fault("the memory limit is set to 90 % of what is in use upwards", round="rabbitmq 2", RabbitMQMemoryHigh={})
def memory_high(stack):
    used = stack.value("rabbitmq_process_resident_memory_bytes")
    stack.rabbit("set_vm_memory_high_watermark", "absolute", f"{int(used / 0.88)}")
    yield
    stack.rabbit("set_vm_memory_high_watermark", "0.4")


@fault("the memory limit is set below what is in use", round="rabbitmq 3", RabbitMQMemoryAlarm={})
def memory_alarm(stack):
    stack.rabbit("set_vm_memory_high_watermark", "absolute", "30MB")
    yield
    stack.rabbit("set_vm_memory_high_watermark", "0.4")


@fault("the disk limit is set to two thirds of what is free", round="rabbitmq 2", RabbitMQDiskLow={})
def disk_low(stack):
    free = stack.value("rabbitmq_disk_space_available_bytes")
    stack.rabbit("set_disk_free_limit", f"{int(free / 1.5)}")
    yield
    stack.rabbit("set_disk_free_limit", "50MB")


@fault("the disk limit is set above what is free", round="rabbitmq 3", RabbitMQDiskAlarm={})
def disk_alarm(stack):
    free = stack.value("rabbitmq_disk_space_available_bytes")
    stack.rabbit("set_disk_free_limit", f"{int(free * 2)}")
    yield
    stack.rabbit("set_disk_free_limit", "50MB")


@fault("800 connections that stay open", round="rabbitmq 4", limit=90, RabbitMQFileDescriptorsHigh={}, RabbitMQConnectionChurn={})
def descriptors(stack):
    held = []
    for _ in range(800):
        try:
            held.append(Amqp(stack.ports["amqp"], "guest", "guest", channel=False))
        except (OSError, AmqpRefused):
            break
    yield
    for amqp in held:
        amqp.close()


@fault("RabbitMQ is stopped", round="stop rabbitmq", RabbitMQDown={"job": "rabbitmq"})
def rabbitmq_stops(stack):
    stack.stop("amqp")
    yield
    stack.again("amqp")
    stack.wait_for_rabbitmq()


@fault("the keys are larger than maxmemory", round="redis", RedisMemoryHigh={}, RedisEvictionIncreased={})
def redis_full(stack):
    redis = stack.redis()
    count = 0

    def fill():
        nonlocal count
        for _ in range(100):
            redis.send("SET", f"collective:drill:{count}", "x" * 8000)
            count += 1
        for _ in range(100):
            redis.answer()

    repeat = Repeat(0.1, fill)
    yield
    repeat.stop()
    redis("FLUSHALL")
    redis.close()


@fault("nine in ten lookups find nothing", round="redis 2", RedisHitRateLow={})
def redis_misses(stack):
    redis = stack.redis()
    redis("SET", "collective:drill:there", "x")

    def look():
        for i in range(10):
            redis("GET", "collective:drill:there" if i == 0 else f"collective:drill:gone:{i}")

    repeat = Repeat(0.05, look)
    yield
    repeat.stop()
    redis.close()


@fault("more clients than maxclients", round="redis 3", RedisRejectedConnections={})
def redis_clients(stack):
    held = []

    def connect():
        for _ in range(50):
            held.append(Redis(stack.ports["redis-server"]))
        for redis in held:
            redis.close()
        held.clear()

    repeat = Repeat(3, connect)
    yield
    repeat.stop()


@fault("Redis' folder is gone", round="redis 2", RedisPersistenceFailing={})
def redis_persistence(stack):
    folder = stack.home / "redis"
    shutil.rmtree(folder)
    redis = stack.redis()
    repeat = Repeat(2, lambda: redis("BGSAVE"))
    yield
    repeat.stop()
    redis.close()
    stack.stop("redis-server")
    folder.mkdir()
    stack.again("redis-server")
    stack.wait_for_redis()


@fault("Redis is stopped", round="stop redis", RedisDown={})
def redis_stops(stack):
    stack.stop("redis-server")
    yield
    stack.again("redis-server")
    stack.wait_for_redis()
