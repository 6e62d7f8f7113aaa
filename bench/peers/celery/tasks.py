"""Celery doing no-op tasks, as its documentation sets it up for many short ones.

CELERY_BROKER_URL names the broker. BENCH_COUNTER names a file in which each
worker process counts its tasks in a slot of its own: results are ignored, and
asking the broker how far it is would load what is being measured.
"""

import mmap
import os
import struct

from billiard import current_process
from celery import Celery
from celery.signals import worker_process_init

SLOTS = 64
SLOT = struct.Struct("<Q")

app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    # As durable as what it is compared with: the broker confirms each task,
    # and a task is acknowledged after it ran.
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_ignore_result=True,
    # Celery's advice for many short tasks.
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)

_slots = None
_offset = 0
_done = 0


@worker_process_init.connect
def open_slot(**_):
    global _slots, _offset
    with open(os.environ["BENCH_COUNTER"], "r+b") as file:
        _slots = mmap.mmap(file.fileno(), SLOTS * SLOT.size)
    _offset = (current_process().index % SLOTS) * SLOT.size


@app.task
def noop(number):
    global _done
    _done += 1
    SLOT.pack_into(_slots, _offset, _done)
