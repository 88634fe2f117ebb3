/**
 * A handler blocks the event loop: is the connection kept, how often is the message delivered, and how long after the wake-up
 * does the consumer have a fresh message?
 *
 * Who is blocked uses no processor, so all contenders of a round are blocked at the same time, each in a process and in a vhost
 * of its own; they start a few seconds apart, so that they do not wake up together.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runBench } from '../shared/run-bench.mjs';
import { Child } from '../shared/child.mjs';
import { BLOCKING, FRESH, WARM_UP } from './marks.mjs';
import { parseOptions, USAGE } from './options.mjs';
import { describeSample, table } from './report.mjs';

const START_TIMEOUT_MS = 60_000;
/** Beyond this after the wake-up it is "not back". */
const PATIENCE_MS = 60_000;
const APART_MS = 2_000;
/** So long after the fresh message is counted what the stall has cost: a loss may be noticed, and redelivered, a little later. */
const SETTLE_MS = 3_000;

export const main = (args) =>
  runBench(args, {
    kind: 'stall',
    usage: USAGE,
    parseOptions,
    brokerOptions: ({ heartbeatSeconds }) => ({ heartbeatSeconds }),
    measure,
    describeSample,
    table,
    kept: ['seconds', 'heartbeatSeconds', 'rounds', 'contenders'],
  });

async function* measure(broker, { seconds, rounds, contenders, heartbeatSeconds }) {
  for (let round = 1; round <= rounds; round++) {
    const inTurn = round % 2 === 1 ? contenders : contenders.toReversed();
    for (const blockS of seconds) {
      const taking = inTurn.map(async (contender, index) => {
        await sleep(index * APART_MS);
        const sample = await takeTurn(broker, { contender, blockS, heartbeatSeconds });
        return { contender: contender.name, round, blockS, ...sample };
      });
      yield* await Promise.all(taking);
    }
  }
}

/** @returns `{ timeoutSeconds, isKept, deliveries, ms }`, `ms: null` if it is not back, or `{ failure }` */
async function takeTurn(broker, { contender, blockS, heartbeatSeconds }) {
  const { name, module = name, options, asksInUrl } = contender;
  const vhost = await broker.createVhost('bench');
  const url = asksInUrl ? `${vhost.url}?heartbeat=${heartbeatSeconds}` : vhost.url;
  const task = { contender: module, url, blockMs: blockS * 1_000, options };
  const child = new Child(new URL('./contender.mjs', import.meta.url), [JSON.stringify(task)]);
  const producer = new Child(new URL('../recovery/producer.mjs', import.meta.url), [vhost.url, '1']);
  const isTold = (wanted) => (message) => message.type === wanted;
  const connections = async () =>
    (await broker.listConnections(vhost.name)).filter(({ userProvidedName }) => userProvidedName !== 'bench-producer');
  try {
    await producer.command('connect');
    await child.hear('ready', START_TIMEOUT_MS);
    await producer.command('publish', WARM_UP);
    const before = await connections();
    await producer.command('publish', BLOCKING);
    await child.hear('blocking', START_TIMEOUT_MS);
    const woke = await child.hear('woke', blockS * 1_000 + START_TIMEOUT_MS);
    await producer.command('publish', FRESH);
    const fresh = await child.waitFor(isTold('fresh'), PATIENCE_MS);
    await sleep(SETTLE_MS);
    child.tell({ report: true });
    const { count } = await child.hear('deliveries', START_TIMEOUT_MS);
    const after = new Set((await connections()).map(({ pid }) => pid));
    return {
      timeoutSeconds: before[0]?.timeoutSeconds,
      isKept: before.length > 0 && before.every(({ pid }) => after.has(pid)),
      deliveries: count,
      ms: fresh === undefined ? null : Math.max(0, fresh.at - woke.at),
    };
  } catch (error) {
    return { failure: error.message };
  } finally {
    await Promise.all([child.end(), producer.end()]);
    await vhost.delete();
  }
}
