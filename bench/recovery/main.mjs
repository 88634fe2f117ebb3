/**
 * Recovery, side by side: how long after a fault every consumer has a fresh message again.
 *
 * One contender runs at a time, in a process of its own, against one broker; in every round all take their turn, so that a
 * machine that gets busier or slower bears on all of them alike.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from '../shared/child.mjs';
import { runBench } from '../shared/run-bench.mjs';
import { faults, outageOfRound } from './faults.mjs';
import { parseOptions, USAGE } from './options.mjs';
import { describeSample, table } from './report.mjs';

const START_TIMEOUT_MS = 180_000;
/** Beyond this it is "not back". */
const PATIENCE_MS = 60_000;
/** Long enough that a connection counts as a settled one for libraries that treat young ones differently. */
const SETTLE_MS = 1_500;

export const main = (args) =>
  runBench(args, {
    kind: 'recovery',
    usage: USAGE,
    parseOptions,
    measure,
    describeSample,
    table,
    kept: ['consumers', 'rounds', 'faults'],
  });

async function* measure(broker, { consumers, rounds, contenders, faults: faultNames }) {
  const outage = { wantedMs: 0, bootMs: 2_000 };
  for (const count of consumers) {
    const vhost = await broker.createVhost('bench');
    for (let round = 1; round <= rounds; round++) {
      outage.wantedMs = outageOfRound(round);
      for (const { name, maxConsumers = Infinity } of contenders) {
        if (count > maxConsumers) continue;
        const turn = { broker, url: vhost.url, contender: name, count, faultNames, outage };
        for (const sample of await takeTurn(turn)) yield { contender: name, consumers: count, round, ...sample };
      }
    }
    await vhost.delete();
  }
}

/** One contender, started afresh, through each fault once; it ends with the first one that it does not come back from. */
async function takeTurn({ broker, url, contender, count, faultNames, outage }) {
  const child = new Child(new URL('./contender.mjs', import.meta.url), [contender, url, `${count}`]);
  const producer = new Child(new URL('./producer.mjs', import.meta.url), [url, `${count}`]);
  const taken = [];
  try {
    await producer.command('connect');
    await child.hear('ready', START_TIMEOUT_MS);
    await warmUp(child, producer);
    for (const fault of faultNames) {
      const sample = await suffer(fault, { broker, child, producer, outage });
      taken.push(sample);
      if (sample.ms === null) break;
    }
  } catch (error) {
    if (producer.hasEnded) throw error;
    taken.push({ fault: faultNames[taken.length], ms: null, failure: error.message });
  } finally {
    await Promise.all([child.end(), producer.end()]);
  }
  return taken;
}

/** Every consumer gets a message before anything is broken. */
async function warmUp(child, producer) {
  const mark = newMark('warm-up');
  await expect(child, mark);
  await producer.command('publish', mark);
  if ((await child.waitFor(isAll(mark), PATIENCE_MS)) === undefined)
    throw new Error('it said that it was ready, but not every consumer got a message');
}

async function suffer(fault, { broker, child, producer, outage }) {
  await sleep(SETTLE_MS);
  const mark = newMark(fault);
  await expect(child, mark);
  const { since, outageMs } = await faults[fault](broker, producer, mark, outage);
  const all = await child.waitFor(isAll(mark), PATIENCE_MS - (Date.now() - since));
  if (producer.hasEnded) throw new Error('The producer ended: nothing was measured');
  return { fault, ms: all === undefined ? null : Math.max(0, all.at - since), outageMs };
}

/** Resolves when the contender knows the mark: a message that overtook the news of it would not be counted. */
async function expect(child, mark) {
  child.tell({ expect: mark });
  const isExpecting = ({ type, mark: known }) => type === 'expecting' && known === mark;
  if ((await child.waitFor(isExpecting, PATIENCE_MS)) === undefined) throw new Error('its event loop is stuck');
}

function isAll(mark) {
  return (message) => message.type === 'all' && message.mark === mark;
}

function newMark(what) {
  return `${what}-${randomBytes(6).toString('hex')}`;
}
