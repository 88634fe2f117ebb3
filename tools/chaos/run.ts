/** One run: services up, accidents as planned, everything drained, and what became of it all. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitUntil } from '#testing/base/wait-until.js';
import type { Part, PastAccident, PlannedAccident } from './accident.js';
import { readLedger } from './ledger.js';
import { machineTimeMs } from './machine-clock.js';
import { QUEUE, QUEUES } from './protocol.js';
import { type Aftermath, aftermathOf, longestPause, type Pause } from './timing.js';
import { judge, type Verdict } from './verdict.js';
import { type Disturbance, judgeVillains, type VillainVerdict } from './villain-verdict.js';
import { letVillainsAct } from './villain-run.js';
import type { World } from './world.js';

export interface Outcome {
  readonly verdict: Verdict;
  readonly aftermath: readonly Aftermath[];
  readonly longestPause: Pause;
  /** How long the last messages took after the last accident, ms; `null`: they were given up. */
  readonly drainedInMs: number | null;
  /** With villains. */
  readonly villains?: VillainVerdict;
}

const READY_MS = 30_000;
/** Beyond the time limit of a publish, 30 s. */
const SETTLE_MS = 45_000;
const DRAIN_MS = 45_000;
const ASK_EVERY_MS = 100;

/** @param say is told, in sentences, what happens when */
export async function runChaos(
  world: World,
  plan: readonly PlannedAccident[],
  { seconds, withVillains }: { seconds: number; withVillains: boolean },
  say: (sentence: string) => void,
): Promise<Outcome> {
  const { producer, consumer } = world.services;
  for (const [name, service] of Object.entries({ consumer, producer })) {
    await service.start();
    if (!(await service.hears('ready', READY_MS))) throw new Error(`The ${name} was not ready within ${READY_MS} ms`);
  }
  const startedAt = machineTimeMs();
  producer.tell({ command: 'publish' });
  const villains = withVillains ? letVillainsAct(world, { from: startedAt, seconds, say }) : undefined;
  const accidents = await strikeAll(world, plan, startedAt, say);
  const pastVillains = await villains;
  await sleep(Math.max(0, startedAt + seconds * 1_000 - machineTimeMs()));
  const drainedInMs = await drain(world);
  say(drainedInMs === null ? 'Not everything could be drained.' : `Drained in ${Math.round(drainedInMs)} ms.`);
  const consumers = await settledConsumers(world);
  await world.endServices();

  const produced = readLedger(world.ledgers.producer);
  const consumed = readLedger(world.ledgers.consumer);
  const unexpectedEnds = [producer, consumer].flatMap((service) => service.unexpectedEnds);
  const aftermath = aftermathOf(accidents, produced, consumed);
  return {
    verdict: judge({ produced, consumed, deletions: world.deletions, consumers, unexpectedEnds }),
    aftermath,
    longestPause: longestPause(QUEUE, produced, consumed, aftermath),
    drainedInMs,
    villains:
      pastVillains &&
      judgeVillains(pastVillains, { consumed, accidents: aftermath.map(disturbanceOf), from: startedAt }),
  };
}

/** One that was never seen to be over by the message that tells is taken to be over at its end. */
function disturbanceOf({ startedAt, overAt, backAfterMs }: Aftermath): Disturbance {
  return { startedAt, wellAt: overAt + (backAfterMs ?? 0) };
}

/** Each at its time, or when the one before it in the same part is over. */
async function strikeAll(
  world: World,
  plan: readonly PlannedAccident[],
  runStartedAt: number,
  say: (sentence: string) => void,
): Promise<PastAccident[]> {
  const lastOfPart = new Map<Part, Promise<unknown>>();
  const all = plan.map((planned) => {
    const { part } = planned.accident;
    const before = lastOfPart.get(part);
    const struck = (async () => {
      await before;
      await sleep(Math.max(0, runStartedAt + planned.atMs - machineTimeMs()));
      const past = await strikeOne(world, planned);
      const at = ((past.startedAt - runStartedAt) / 1_000).toFixed(1).padStart(6);
      const lasted = planned.lastsMs > 0 ? ` for ${planned.lastsMs} ms` : '';
      say(`${at} s  ${past.name}${lasted}${past.missed === undefined ? '' : `: missed (${past.missed})`}`);
      return past;
    })();
    lastOfPart.set(part, struck);
    return struck;
  });
  return Promise.all(all);
}

async function strikeOne(world: World, { accident, lastsMs, draw }: PlannedAccident): Promise<PastAccident> {
  const startedAt = machineTimeMs();
  let overAt: number | undefined;
  let missed: string | undefined;
  try {
    await accident.strike(world, { lastsMs, draw }, () => (overAt = machineTimeMs()));
  } catch (thrown) {
    missed = thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown);
  }
  const { name, shownBy = QUEUE } = accident;
  return { name, shownBy, startedAt, overAt: overAt ?? machineTimeMs(), missed };
}

/** Every promise settled and every queue empty, or the patience at its end. @returns how long it took */
async function drain(world: World): Promise<number | null> {
  const from = machineTimeMs();
  const { producer } = world.services;
  producer.tell({ command: 'stop-publishing' });
  const isSettled = await producer.hears('settled', SETTLE_MS);
  const isEmpty = await waitUntil(() => world.areQueuesEmpty(), { timeoutMs: DRAIN_MS, everyMs: ASK_EVERY_MS });
  return isSettled && isEmpty ? machineTimeMs() - from : null;
}

/** As the broker lists them, once that is as it should be or will not become so any more. */
async function settledConsumers(world: World): Promise<Record<string, number>> {
  let consumers: Record<string, number> = {};
  const isOneEach = async (): Promise<boolean> => {
    consumers = await world.consumers();
    return QUEUES.every((queue) => consumers[queue] === 1);
  };
  await waitUntil(isOneEach, { timeoutMs: DRAIN_MS, everyMs: ASK_EVERY_MS });
  return consumers;
}
