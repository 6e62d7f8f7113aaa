// graphile-worker doing no-op jobs, as its documentation sets it up.
//
//   node bench.mjs add  JOBS BATCH
//   node bench.mjs work JOBS CONCURRENCY defaults|batched
//
// DATABASE_URL names the database. Each role ends with one line of JSON: the
// milliseconds since the epoch at which its work began and ended. `work` prints
// the line "ready" once it listens, and counts from its first job.

import { makeWorkerUtils, run, Logger } from "graphile-worker";
import pg from "pg";

const connectionString = process.env.DATABASE_URL;
const quiet = new Logger(() => () => {});

/** What graphile-worker's page on performance sets for many short jobs. */
const BATCHED = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

const [role, jobs, ...rest] = process.argv.slice(2);
const roles = { add, work };
if (!(role in roles)) throw new Error(`unknown role ${role}`);
console.log(JSON.stringify(await roles[role](Number(jobs), ...rest)));

/** Adds the jobs in batches of a given size, one batch after the other. */
async function add(total, batch) {
  const utils = await makeWorkerUtils({ preset: { worker: { connectionString } }, logger: quiet });
  const size = Number(batch);
  const began = Date.now();
  for (let added = 0; added < total; added += size) {
    const length = Math.min(size, total - added);
    await utils.addJobs(
      Array.from({ length }, (_, index) => ({
        identifier: "noop",
        payload: { number: added + index },
      })),
    );
  }
  const ended = Date.now();
  await utils.release();
  return { began, ended };
}

/** Processes the jobs until all are done, then checks that none is left. */
async function work(total, concurrency, mode) {
  const concurrentJobs = Number(concurrency);
  let began;
  let done = 0;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));

  const runner = await run({
    preset: {
      worker: {
        connectionString,
        concurrentJobs,
        maxPoolSize: concurrentJobs + 1,
        ...(mode === "batched" ? BATCHED : {}),
      },
    },
    logger: quiet,
    taskList: {
      noop: async () => {
        began ??= Date.now();
        done += 1;
        if (done === total) finish();
      },
    },
  });
  console.log("ready");

  await finished;
  // Stopping waits for the completions that are still on their way.
  await runner.stop();
  const ended = Date.now();
  await nothingIsLeft();
  return { began, ended };
}

async function nothingIsLeft() {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const { rows } = await client.query("SELECT count(*)::int AS left FROM graphile_worker.jobs");
  await client.end();
  if (rows[0].left !== 0) throw new Error(`${rows[0].left} jobs were not completed`);
}
