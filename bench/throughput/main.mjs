/**
 * Publishing, consuming, RPC and outages, side by side. One contender runs at a time, in a process of its own, on a fresh queue;
 * in every round all take their turn, and every other round goes backwards, so that a machine that gets busier or slower
 * bears on all of them alike. CPU time is that of the contender's process alone.
 */
import { runBench } from '../shared/run-bench.mjs';
import { Child } from '../shared/child.mjs';
import { parseOptions, usageOf } from './options.mjs';
import { WORKLOADS } from './protocol.mjs';
import { fillQueue, makeQueue, removeQueue } from './queue.mjs';
import { describeSample, outageTable, rpcTable, speedTable } from './report.mjs';

const READY_MS = 30_000;
const RESULT_MS = 180_000;
/** More than is measured, so that the queue does not run empty before the end. */
const SPARE = 5_000;
const CONTENDER = new URL('./contender.mjs', import.meta.url);

const TABLES = { outage: outageTable, rpc: rpcTable };

export const main = (args, kind) =>
  runBench(args, {
    kind,
    usage: usageOf(kind),
    parseOptions: (all) => parseOptions(kind, all),
    measure: (broker, options) => measure(broker, kind, options),
    describeSample,
    table: (samples, options) => (TABLES[kind] ?? speedTable)(samples, options, kind),
    kept: ['rounds', 'messages', 'window', 'prefetch'],
  });

async function* measure(broker, kind, options) {
  for (let round = 1; round <= options.rounds; round++) {
    const inTurn = round % 2 === 1 ? options.contenders : options.contenders.toReversed();
    for (const workload of options.workloads) {
      for (const { name } of inTurn) {
        yield { round, workload, contender: name, ...(await takeTurn(broker, kind, { name, workload, options })) };
      }
    }
  }
}

/** @returns what the contender reported, or `{ failure }` */
async function takeTurn(broker, kind, { name, workload: workloadName, options }) {
  const { messages, window, prefetch } = options;
  const { url } = broker;
  const workload = WORKLOADS[workloadName];
  const warmUp = Math.ceil(messages / 3);
  const queue = await makeQueue(url);
  if (kind === 'consume') await fillQueue(url, workload, warmUp + messages + SPARE);
  const task = { contender: name, kind, url, queue, workload, window, prefetch, warmUp, messages };
  const child = new Child(CONTENDER, [JSON.stringify(task)]);
  // The two sides of RPC are two processes, as they are in life.
  const answering = kind === 'rpc' ? new Child(CONTENDER, [JSON.stringify({ ...task, role: 'answer' })]) : undefined;
  try {
    if (answering !== undefined) await answering.hear('ready', READY_MS);
    await child.hear('ready', READY_MS);
    if (kind === 'outage') await broker.shutDown();
    child.tell({ go: true });
    if (kind === 'outage') {
      await child.hear('published', RESULT_MS);
      await broker.restart();
      child.tell({ restarted: true });
    }
    const { type: _, ...result } = await child.hear('result', RESULT_MS);
    return result;
  } catch (error) {
    return { failure: error.message };
  } finally {
    await child.end();
    await answering?.end();
    if (!broker.isRunning) await broker.restart();
    await removeQueue(url);
  }
}
