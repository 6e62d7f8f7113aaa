// An agent that speaks AMQP itself: it counts the words of the file that a
// task's input names, several tasks at once. From the environment: AMQP_URL, the
// broker; COLLECTIVE_KEY, the agent's API key; AGENT_NAME; AGENT_QUEUES, the
// queues it serves, with commas between them (default).

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import amqp from "amqplib";

const { AMQP_URL, COLLECTIVE_KEY, AGENT_NAME: agent, AGENT_QUEUES = "default" } = process.env;
const REPLIES = "amq.rabbitmq.reply-to";
const [SLOTS, LEASE, BEAT_EVERY, PATIENCE, PAUSE] = [4, "30s", 8_000, 10_000, 500];

const held = new Map(); // task id -> the lease under which this agent works on it
const waiting = new Map(); // correlation id -> who waits for that answer
let channel; // undefined while there is no connection
let stopping = false;

/** A connection that comes back by itself. */
async function stayConnected() {
  for (;;) {
    let connection;
    try {
      connection = await amqp.connect(AMQP_URL);
      const opened = await connection.createConfirmChannel();
      for (const part of [connection, opened]) part.on("error", (error) => console.error(error.message));
      const lost = Promise.race([once(connection, "close"), once(opened, "close")]);
      await opened.consume(REPLIES, answered, { noAck: true });
      channel = opened;
      await lost;
    } catch (error) {
      console.error(`no connection: ${error.message}`);
    }
    channel = undefined;
    // What is left of it, if only its channel was lost.
    (async () => connection?.close())().catch(() => {});
    await sleep(PAUSE);
  }
}

function answered(message) {
  if (message) waiting.get(message.properties.correlationId)?.(JSON.parse(message.content));
}

/** Publishes a report until it is answered. The key makes repeating it safe. */
async function report(kind, body) {
  const key = randomUUID();
  const headers = { "collective-key": COLLECTIVE_KEY, "idempotency-key": key };
  const options = { persistent: true, contentType: "application/json", correlationId: key, replyTo: REPLIES, headers };
  const answer = new Promise((resolve) => waiting.set(key, resolve));
  const content = Buffer.from(JSON.stringify(body));
  for (;;) {
    const through = channel;
    const asked = Date.now();
    try {
      through?.publish("agent.results", kind, content, options);
    } catch (error) {
      console.error(`not published: ${error.message}`);
    }
    // A lost connection may have taken the report or its answer with it: asked again at once.
    while (channel === through && Date.now() - asked < PATIENCE) {
      const given = await Promise.race([answer, sleep(100)]);
      if (!given) continue;
      waiting.delete(key);
      return given;
    }
  }
}

/** Takes offers, most urgent first, as long as there is a slot for them. */
async function work() {
  const body = { agent, queues: AGENT_QUEUES.split(","), slots: SLOTS, description: "counts words" };
  const { ok, error } = await report("registered", body);
  if (error) throw new Error(`not registered: ${error.detail}`);
  const mine = channel;
  while (mine && mine === channel && !stopping) {
    let found = false;
    for (const queue of ok.task_queues) {
      found = held.size < SLOTS && (await mine.get(queue));
      if (found) break;
    }
    if (!found) {
      await sleep(PAUSE);
      continue;
    }
    const { task } = JSON.parse(found.content);
    const { ok: claim } = await report("started", { task, agent, lease: LEASE });
    // Without its channel the offer comes again, and is refused: the claim stands.
    if (mine === channel) mine.ack(found);
    if (claim) attempt(claim);
  }
}

async function attempt({ task, token }) {
  const lease = { task: task.id, token };
  held.set(task.id, lease);
  try {
    const words = (await readFile(task.spec.input.file, "utf8")).split(/\s+/).filter(Boolean).length;
    await report("completed", { ...lease, text: `${words} words`, json: { words } });
  } catch (error) {
    await report("failed", { ...lease, failure: { class: "permanent", reason: error.message } });
  } finally {
    held.delete(task.id);
  }
}

process.on("SIGTERM", () => {
  stopping = true; // what it holds is finished first
  setInterval(() => held.size === 0 && process.exit(0), 50);
});
stayConnected();
// Tasks here are short. An agent with long ones stops those whose answer names a reason to.
setInterval(() => report("heartbeat", { agent, beats: [...held.values()] }), BEAT_EVERY);
while (!stopping) {
  await work().catch((error) => console.error(error.message));
  await sleep(PAUSE);
}
