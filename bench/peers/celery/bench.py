"""Publishes the tasks, or watches until all are done.

    python bench.py add TASKS
    python bench.py watch TASKS

Each role ends with one line of JSON: the milliseconds since the epoch at which
its work began and ended. `watch` counts from the first task that ran, and
checks at the end that the queue is empty.
"""

import json
import os
import sys
import time

from tasks import SLOT, SLOTS, app, noop

# How often the counter file is read; short against any run worth measuring.
POLL_SECONDS = 0.005
# A run that takes longer has hung.
LIMIT_SECONDS = 300


def milliseconds():
    return time.time() * 1000


def add(total):
    with app.producer_pool.acquire(block=True) as producer:
        began = milliseconds()
        for number in range(total):
            noop.apply_async((number,), producer=producer)
        return {"began": began, "ended": milliseconds()}


def watch(total):
    began = None
    limit = time.monotonic() + LIMIT_SECONDS
    with open(os.environ["BENCH_COUNTER"], "rb", buffering=0) as file:
        while True:
            file.seek(0)
            done = sum(count for (count,) in SLOT.iter_unpack(file.read(SLOTS * SLOT.size)))
            if done and began is None:
                began = milliseconds()
            if done >= total:
                break
            if time.monotonic() > limit:
                raise SystemExit(f"only {done} of {total} tasks ran")
            time.sleep(POLL_SECONDS)
    ended = milliseconds()
    nothing_is_left()
    return {"began": began, "ended": ended}


def nothing_is_left():
    with app.connection_for_read() as connection:
        queue = connection.default_channel.queue_declare("celery", passive=True)
    if queue.message_count:
        raise SystemExit(f"{queue.message_count} tasks are still queued")


role, total = sys.argv[1:]
print(json.dumps({"add": add, "watch": watch}[role](int(total))))
