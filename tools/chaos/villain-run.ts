/** Lets the villains act, one after the other and each beside the next, after a time without them to measure against. */
import { setTimeout as sleep } from 'node:timers/promises';
import { machineTimeMs } from './machine-clock.js';
import type { VillainName } from './protocol.js';
import type { PastVillain } from './villain-verdict.js';
import { type Villain, VILLAINS } from './villains.js';
import type { World } from './world.js';

/** Of the run: before the first of them, and after the last. */
const QUIET_SHARE = 1 / 5;
const END_SHARE = 1 / 10;

export interface VillainRun {
  /** When the first message was published, on the machine's clock. */
  readonly from: number;
  readonly seconds: number;
  readonly say: (sentence: string) => void;
}

export async function letVillainsAct(world: World, run: VillainRun): Promise<PastVillain[]> {
  const totalMs = run.seconds * 1_000;
  const quietMs = totalMs * QUIET_SHARE;
  const stepMs = (totalMs * (1 - QUIET_SHARE - END_SHARE)) / (VILLAINS.length + 1);
  const acting = new Set<VillainName>();
  return Promise.all(
    VILLAINS.map(async (villain, index): Promise<PastVillain> => {
      const beginsAt = run.from + quietMs + index * stepMs;
      await sleep(Math.max(0, beginsAt - machineTimeMs()));
      return act(villain, world, { acting, run, untilAt: beginsAt + 2 * stepMs });
    }),
  );
}

async function act(
  villain: Villain,
  world: World,
  { acting, run, untilAt }: { acting: Set<VillainName>; run: VillainRun; untilAt: number },
): Promise<PastVillain> {
  const { name, isNamedBy } = villain;
  const startedAt = machineTimeMs();
  const at = (): string => ((machineTimeMs() - run.from) / 1_000).toFixed(1).padStart(6);
  acting.add(name);
  world.setActing([...acting]);
  const missed = await persisting(() => villain.begin(world), untilAt);
  run.say(`${at()} s  villain: ${name}${missed === undefined ? '' : `: missed (${missed})`}`);
  await sleep(Math.max(0, untilAt - machineTimeMs()));
  acting.delete(name);
  world.setActing([...acting]);
  await persisting(() => villain.end(world), machineTimeMs() + PATIENCE_MS);
  run.say(`${at()} s  villain gone: ${name}`);
  return { name, startedAt, endedAt: machineTimeMs(), isNamedBy, missed };
}

const PATIENCE_MS = 30_000;
const TRY_AGAIN_MS = 500;

/** The broker may be down, or frozen, by accident. @returns why it could not be done in time, if it could not */
async function persisting(deed: () => Promise<void>, untilAt: number): Promise<string | undefined> {
  for (;;) {
    try {
      await deed();
      return undefined;
    } catch (thrown) {
      if (machineTimeMs() > untilAt) return thrown instanceof Error ? thrown.message : String(thrown);
      await sleep(TRY_AGAIN_MS);
    }
  }
}
