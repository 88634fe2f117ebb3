import { describe, expect, it } from '@jest/globals';
import { BatchingNaps } from './batching-naps.js';

interface Flow {
  bytes: number;
  /** Between one piece and the next; a nap falls into that time... */
  everyMs: number;
  /** ...or comes on top of it, where the broker waits for what the nap holds up. */
  waitsForUs?: boolean;
  /** Then: how many times bigger a piece is that comes after a nap. @default 1 */
  grows?: number;
}

/** A thread on a clock of its own. */
class Thread {
  time = 1_000;
  taken = 0;
  #napMs = 0;
  #lastNapMs = 0;
  readonly #naps = new BatchingNaps({
    sleep: (ms) => {
      this.taken += 1;
      this.#napMs = ms;
      return true;
    },
  });

  /** @returns how many pieces came by in so long, and how many naps were taken */
  run(ms: number, { bytes, everyMs, waitsForUs = false, grows = 1 }: Flow): { pieces: number; naps: number } {
    const [until, taken] = [this.time + ms, this.taken];
    let pieces = 0;
    while (this.time < until) {
      this.#napMs = 0;
      pieces += 1;
      // What has come during a nap is read at once.
      const grown = this.#lastNapMs > 0 ? grows : 1;
      this.#naps.passed(bytes * (waitsForUs ? grown : 1 + this.#missed(everyMs)), this.time, true);
      this.time += waitsForUs ? everyMs + this.#napMs : Math.max(everyMs, this.#napMs);
      this.#lastNapMs = this.#napMs;
    }
    return { pieces, naps: this.taken - taken };
  }

  #missed(everyMs: number): number {
    return Math.max(0, Math.round(this.#lastNapMs / everyMs) - 1);
  }
}

const STREAM = { bytes: 3_000, everyMs: 0.25 };
const PING_PONG = { bytes: 3_000, everyMs: 0.25, waitsForUs: true };
/** The broker sends on for a little while, and then waits: bigger pieces, and half the speed. */
const SMALL_WINDOW = { ...PING_PONG, grows: 1.5 };

describe('naps of the heartbeat thread', () => {
  it('are taken behind nearly every piece of a flow that goes on meanwhile', () => {
    const { pieces, naps } = new Thread().run(10_000, STREAM);
    expect(naps / pieces).toBeGreaterThan(0.85);
  });

  it.each([
    ['at once', PING_PONG],
    ['in the middle of a nap', SMALL_WINDOW],
  ])('cost a flow whose broker waits for us %s next to nothing', (_, flow) => {
    const { pieces } = new Thread().run(60_000, flow);
    expect(pieces).toBeGreaterThan(0.99 * (60_000 / flow.everyMs));
  });

  it('are tried on such a flow again and again', () => {
    const thread = new Thread();
    thread.run(60_000, PING_PONG);
    expect(thread.run(60_000, PING_PONG).naps).toBeGreaterThan(0);
  });

  it('come back when they pay again', () => {
    const thread = new Thread();
    thread.run(60_000, PING_PONG);
    thread.run(20_000, STREAM);
    const { pieces, naps } = thread.run(1_000, STREAM);
    expect(naps / pieces).toBeGreaterThan(0.8);
  });

  it('end within a second when they pay no longer, but for the trials', () => {
    const thread = new Thread();
    thread.run(5_000, STREAM);
    thread.run(1_200, PING_PONG);
    expect(thread.run(2_000, PING_PONG).naps).toBeLessThan(100);
  });

  it.each<[string, Flow]>([
    ['small pieces, such as answers and confirms', { bytes: 1_000, everyMs: 0.2 }],
    ['a flow that is not busy', { bytes: 3_000, everyMs: 1 }],
    ['pieces that come now and then', { bytes: 200_000, everyMs: 45 }],
  ])('are not taken for %s', (_, flow) => {
    expect(new Thread().run(10_000, flow).naps).toBe(0);
  });

  it('are hardly taken where nothing comes meanwhile', () => {
    const { pieces, naps } = new Thread().run(60_000, { bytes: 5_000, everyMs: 1 });
    expect(naps / pieces).toBeLessThan(0.01);
  });

  it('are given up in a flow of short bursts', () => {
    const thread = new Thread();
    let naps = 0;
    let pieces = 0;
    for (let burst = 0; burst < 500; burst++) {
      const taken = thread.run(50, PING_PONG);
      pieces += taken.pieces;
      if (burst >= 250) naps += taken.naps;
      thread.time += 20;
    }
    expect(naps / pieces).toBeLessThan(0.02);
  });

  it('are not taken while the main thread is behind', () => {
    let taken = 0;
    const naps = new BatchingNaps({ sleep: () => (taken += 1) > 0 });
    for (let piece = 0; piece < 1_000; piece++) naps.passed(3_000, 1_000 + piece * 0.25, false);
    expect(taken).toBe(0);
  });

  it('really stop the thread, once in a turn of its loop for all links', async () => {
    let taken = 0;
    const links = [1, 2].map(() => new BatchingNaps({ napped: () => (taken += 1) }));
    for (let piece = 0; piece < 125; piece++) for (const naps of links) naps.passed(3_000, 1_000 + piece * 0.25, true);
    expect(taken).toBe(1);
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const before = performance.now();
    for (const naps of links) naps.passed(3_000, 1_031.5, true);
    expect(performance.now() - before).toBeGreaterThanOrEqual(0.4);
    expect(taken).toBe(2);
  });
});
