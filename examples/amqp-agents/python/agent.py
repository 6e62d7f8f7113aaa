"""An agent that speaks AMQP itself: it takes tasks, runs a command for each, reports.

The command gets the task's prompt on its standard input; what it prints is the
result. From the environment: AMQP_URL, the broker; COLLECTIVE_KEY, the agent's
API key; AGENT_NAME; AGENT_QUEUES, the queues it serves, with commas between
them (default); AGENT_COMMAND, what it runs by sh -c (wc -w).
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import pika
from pika.exceptions import AMQPError

REPLIES = "amq.rabbitmq.reply-to"
LEASE, BEAT_EVERY = "15s", 4  # three heartbeats may be lost
PATIENCE, PAUSE = 10, 0.5

NAME = os.environ["AGENT_NAME"]
QUEUES = os.environ.get("AGENT_QUEUES", "default").split(",")
COMMAND = os.environ.get("AGENT_COMMAND", "wc -w")


class Server:
    """Reports and their answers, over a connection that comes back by itself."""

    def connect(self):
        while True:
            try:
                self.connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
                self.channel = self.connection.channel()
                self.channel.confirm_delivery()
                self.answers = {}
                self.channel.basic_consume(REPLIES, self.answered, auto_ack=True)
                return
            except AMQPError as error:
                print(f"no broker: {error!r}", file=sys.stderr)
                time.sleep(1)

    def answered(self, _channel, _method, properties, body):
        self.answers[properties.correlation_id] = json.loads(body)

    def report(self, kind, **body):
        """Publishes a report until it is answered. The key makes repeating it safe."""
        key = str(uuid.uuid4())
        headers = {"collective-key": os.environ["COLLECTIVE_KEY"], "idempotency-key": key}
        properties = pika.BasicProperties("application/json", headers=headers, delivery_mode=2,
                                          correlation_id=key, reply_to=REPLIES)
        while True:
            try:
                self.channel.basic_publish("agent.results", kind, json.dumps(body), properties)
                give_up = time.monotonic() + PATIENCE
                while key not in self.answers and time.monotonic() < give_up:
                    self.connection.process_data_events(time_limit=0.1)
                if key in self.answers:
                    return self.answers.pop(key)
            except AMQPError:
                self.connect()


def work(server):
    agent = server.report("registered", agent=NAME, queues=QUEUES, description=COMMAND)
    if "error" in agent:
        sys.exit(f"not registered: {agent['error']['detail']}")
    while True:
        channel = server.channel
        for queue in agent["ok"]["task_queues"]:  # the most urgent first
            method, _, body = channel.basic_get(queue)
            if method:
                break
        else:
            server.connection.sleep(PAUSE)
            continue
        claim = server.report("started", task=json.loads(body)["task"], agent=NAME, lease=LEASE)
        if channel.is_open:  # else the offer comes again, and is refused: the claim stands
            channel.basic_ack(method.delivery_tag)
        if "ok" in claim:
            attempt(server, claim["ok"])


def attempt(server, claim):
    held = {"task": claim["task"]["id"], "token": claim["token"]}
    with tempfile.TemporaryFile("w+") as prompt, tempfile.TemporaryFile("w+") as output:
        prompt.write(claim["task"]["spec"].get("prompt", ""))
        prompt.seek(0)
        command = subprocess.Popen(["sh", "-c", COMMAND], stdin=prompt, stdout=output, start_new_session=True)
        try:
            if not watch(server, command, held):
                return
        except SystemExit:
            server.report("released", **held, reason="the agent stops")
            raise
        finally:
            if command.poll() is None:
                os.killpg(command.pid, signal.SIGKILL)
        output.seek(0)
        said = output.read()
    if command.returncode == 0:
        server.report("completed", **held, text=said)
    else:
        reason = f"exit code {command.returncode}"
        server.report("failed", **held, failure={"class": "transient", "reason": reason, "feedback": said[-4000:]})


def watch(server, command, held):
    """Keeps the lease alive until the command ends; false if its task is ours no more."""
    beat_at = time.monotonic() + BEAT_EVERY
    while command.poll() is None:
        time.sleep(0.02)
        if time.monotonic() < beat_at:
            continue
        beat_at += BEAT_EVERY
        beat = server.report("heartbeat", agent=NAME, beats=[held])["ok"]["items"][0]
        if "error" in beat:  # somebody else has it now
            return False
        if "cancel" in beat["ok"]:
            failure = {"class": "transient", "reason": beat["ok"]["cancel"]}
            server.report("failed", **held, outcome="cancelled", failure=failure)
            return False
    return True


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = Server()
    server.connect()
    while True:
        try:
            work(server)
        except AMQPError as error:  # what was asked for is asked again
            print(f"connection lost: {error!r}", file=sys.stderr)
            server.connect()


if __name__ == "__main__":
    main()
