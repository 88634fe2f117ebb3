/** Reconnects and messages without end: what each of them leaves behind must be nothing. `RMQ_LONG_TESTS=1` takes 1,000 and a million. */
import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import type { Measure, SoakFact } from '../support/programs/soaking-service.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const IS_LONG = process.env['RMQ_LONG_TESTS'] === '1';
const SOAK = IS_LONG
  ? { rounds: 20, reconnects: 50, messages: 50_000, limitMs: 900_000 }
  : { rounds: 10, reconnects: 15, messages: 5_000, limitMs: 90_000 };
/** Compiled code, caches and pools grow at first; the slope counts from there. */
const WARM_UP_SHARE = 0.3;
const MAX_SLOPE_BYTES = 1024 * 1024;

interface Soak {
  /** After the warm-up. */
  measures: Measure[];
  /** Growth of the heap for each 100 reconnects. */
  slopeBytes: number;
  done: { reconnects: number; handled: number };
}

describe('F28: when a service loses its links again and again', () => {
  const faults = useFaults();

  async function soak(kind: 'sound' | 'leaky', size: Omit<typeof SOAK, 'limitMs'>): Promise<Soak> {
    const proxy = await faults.proxy();
    const { rounds, reconnects, messages } = size;
    const child = TypescriptChild.start(new URL('../support/programs/soaking-service.ts', import.meta.url), {
      args: [proxy.url(faults.vhost.url), ...[rounds, reconnects, messages].map(String), kind],
    });
    faults.afterwards(() => child.dispose());
    let cuts = 0;
    const done = await until(
      'it has been through all of it',
      () => {
        if (child.stderr !== '') throw new Error(child.stderr);
        const facts = factsOf(child);
        const asked = facts.filter((fact) => 'cut' in fact).length;
        for (; cuts < asked; cuts++) proxy.reset();
        return facts.find((fact) => 'done' in fact)?.done;
      },
      { timeoutMs: SOAK.limitMs, everyMs: 5 },
    );
    const all = factsOf(child).flatMap((fact) => ('measure' in fact ? [fact.measure] : []));
    const measures = all.slice(Math.floor(rounds * WARM_UP_SHARE));
    return { measures, done, slopeBytes: slope(measures.map(({ heapBytes }) => heapBytes)) * (100 / reconnects) };
  }

  it(
    'keeps neither memory nor listeners nor timers of the links before',
    async () => {
      const { measures, slopeBytes, done } = await soak('sound', SOAK);
      const kilobytes = Math.round(slopeBytes / 1024);
      if (IS_LONG) console.log(`${JSON.stringify(done)}: ${kilobytes} KB for each 100 reconnects`, measures);
      expect(done.reconnects).toBe(2 * SOAK.rounds * SOAK.reconnects);
      expect(done.handled).toBeGreaterThanOrEqual(SOAK.rounds * SOAK.messages);
      expect(slopeBytes).toBeLessThan(MAX_SLOPE_BYTES);
      const [{ listeners, resources }] = measures as [Measure];
      expect(measures.map((measure) => measure.listeners)).toEqual(measures.map(() => listeners));
      expect(measures.map((measure) => measure.resources)).toEqual(measures.map(() => resources));
    },
    SOAK.limitMs,
  );

  it('control: the same measure sees a program that keeps a listener and 16 KB for each reconnect', async () => {
    const { measures, slopeBytes } = await soak('leaky', { rounds: 6, reconnects: 5, messages: 1_000 });
    expect(slopeBytes).toBeGreaterThan(MAX_SLOPE_BYTES);
    const listeners = measures.map((measure) => measure.listeners);
    expect(listeners).toEqual(listeners.map((_, index) => listeners[0]! + index * 10));
  }, 60_000);
});

function factsOf(child: TypescriptChild): SoakFact[] {
  return child.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as SoakFact);
}

/** Of the straight line that fits best. */
function slope(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const rise = values.reduce((sum, value, x) => sum + (x - middle) * (value - mean), 0);
  return rise / values.reduce((sum, _, x) => sum + (x - middle) ** 2, 0);
}
