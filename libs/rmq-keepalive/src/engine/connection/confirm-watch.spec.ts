import { beforeEach, describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import type { ConnectionState } from '../reporting/lifecycle.js';
import { ConfirmWatch, isProof, patienceMs, silenceAfter } from './confirm-watch.js';
import type { Link } from '../link/link.js';

const LIMIT_MS = 1_000;
const LOOK_MS = 100;
const NODE = 'amqp://one:5672/%2F';
const OTHER_NODE = 'amqp://two:5672/%2F';

describe('the silence of a link', () => {
  const before = { waitedMs: 500, acks: 3, nacks: 1 };

  it('grows while something waits, stands still while nothing does, and ends with any confirm', () => {
    expect(silenceAfter(before, { inFlight: 1, acks: 3, nacks: 1 }, 100, LIMIT_MS).waitedMs).toBe(600);
    expect(silenceAfter(before, { inFlight: 0, acks: 3, nacks: 1 }, 100, LIMIT_MS).waitedMs).toBe(500);
    expect(silenceAfter(before, { inFlight: 9, acks: 4, nacks: 1 }, 100, LIMIT_MS)).toEqual({
      waitedMs: 0,
      acks: 4,
      nacks: 1,
    });
  });

  it('ends with a nack of a full queue, and not with one that comes after the limit: the node could not store it', () => {
    const nacked = { inFlight: 1, acks: 3, nacks: 2 };
    expect(silenceAfter(before, nacked, 100, LIMIT_MS).waitedMs).toBe(0);
    expect(silenceAfter({ ...before, waitedMs: 1_500 }, nacked, 100, LIMIT_MS).waitedMs).toBe(1_600);
  });

  it('is borne twice as long each time in a row, and four times as long at most', () => {
    expect([0, 1, 2, 3, 50].map((givenUp) => patienceMs(LIMIT_MS, givenUp))).toEqual([
      1_000, 2_000, 4_000, 4_000, 4_000,
    ]);
  });

  it('is the node’s own when another one confirms the same publishes', () => {
    const confirms = { inFlight: 5, nacks: 0 };
    expect(isProof({ ...confirms, acks: 9, sentBefore: 5, sentBeforeConfirmed: 0 })).toBe(false);
    expect(isProof({ ...confirms, acks: 9, sentBefore: 5, sentBeforeConfirmed: 1 })).toBe(true);
    expect(isProof({ ...confirms, acks: 1, sentBefore: 0, sentBeforeConfirmed: 0 })).toBe(true);
  });
});

class StubLink {
  state: ConnectionState = { name: 'open', since: 0 };
  readonly destroyed: Error[] = [];
  link: Link;

  constructor(endpoint: string) {
    this.link = this.linkTo(endpoint);
  }

  linkTo(endpoint: string): Link {
    const destroy = (cause: Error): void => void this.destroyed.push(cause);
    return { endpoint, blockedBecause: undefined, destroy } as unknown as Link;
  }

  lastByteAges(): { receivedAgoMs: number; sentAgoMs: number } {
    return { receivedAgoMs: 40, sentAgoMs: 0 };
  }
}

describe('the watch over confirms', () => {
  let clock: ManualClock;
  let publishing: StubLink;
  let consuming: StubLink;
  let confirms: { inFlight: number; acks: number; nacks: number; sentBefore: number; sentBeforeConfirmed: number };
  let watch: ConfirmWatch;

  const make = (limitMs = LIMIT_MS): ConfirmWatch =>
    new ConfirmWatch(
      limitMs,
      {
        publishing,
        consuming,
        confirms: () => ({ ...confirms }),
        waiting: () => confirms.inFlight,
        avoid: () => undefined,
      },
      clock,
    );

  beforeEach(() => {
    clock = new ManualClock();
    publishing = new StubLink(NODE);
    consuming = new StubLink(NODE);
    confirms = { inFlight: 2, acks: 0, nacks: 0, sentBefore: 0, sentBeforeConfirmed: 0 };
    watch = make();
    watch.start();
  });

  it('gives a link up at the limit and no sooner, and says so until something is confirmed', async () => {
    await clock.advance(LIMIT_MS);
    expect(publishing.destroyed).toEqual([]);
    expect(watch.status).toBeNull();
    await clock.advance(LOOK_MS);
    expect(publishing.destroyed).toMatchObject([{ code: 'RMQ_NO_CONFIRMS', endpoint: NODE, waitedMs: LIMIT_MS }]);
    expect(watch.status).toEqual({ since: clock.wallClock() - LIMIT_MS, waiting: 2 });

    publishing.link = publishing.linkTo(OTHER_NODE);
    await clock.advance(LOOK_MS);
    expect(watch.status).not.toBeNull();
    confirms = { inFlight: 0, acks: 1, nacks: 0, sentBefore: 2, sentBeforeConfirmed: 2 };
    await clock.advance(LOOK_MS);
    expect(watch.status).toBeNull();
    expect(consuming.destroyed).toMatchObject([{ code: 'RMQ_NO_CONFIRMS', endpoint: NODE }]);
  });

  it('leaves the consumers where they are as long as no other node proves better', async () => {
    await clock.advance(LIMIT_MS + LOOK_MS);
    publishing.link = publishing.linkTo(OTHER_NODE);
    confirms = { inFlight: 2, acks: 7, nacks: 0, sentBefore: 2, sentBeforeConfirmed: 0 };
    await clock.advance(10 * LIMIT_MS);
    expect(consuming.destroyed).toEqual([]);
    // Nor when the very same address has become well again.
    publishing.link = publishing.linkTo(NODE);
    confirms = { inFlight: 0, acks: 2, nacks: 0, sentBefore: 2, sentBeforeConfirmed: 2 };
    await clock.advance(LOOK_MS);
    expect(consuming.destroyed).toEqual([]);
  });

  it('does not count what our own event loop stood still for, nor an alarm, nor a link that is not open', async () => {
    for (let stalls = 0; stalls < 3; stalls++) {
      clock.block(60_000);
      await clock.advance(LOOK_MS);
    }
    expect(publishing.destroyed).toEqual([]);
    Object.assign(publishing.link, { blockedBecause: 'low on memory' });
    await clock.advance(10 * LIMIT_MS);
    Object.assign(publishing.link, { blockedBecause: undefined });
    publishing.state = { name: 'closing' };
    await clock.advance(10 * LIMIT_MS);
    expect(publishing.destroyed).toEqual([]);
  });

  it('reads the sockets once more before it judges', async () => {
    clock.onSocketPoll(() => (confirms = { ...confirms, acks: confirms.acks + 1 }));
    await clock.advance(10 * LIMIT_MS);
    expect(publishing.destroyed).toEqual([]);
  });

  it('adds up the waits of publishes that are given up by their callers before the limit', async () => {
    for (let publishes = 0; publishes < 6; publishes++) {
      confirms.inFlight = 1;
      await clock.advance(2 * LOOK_MS);
      confirms.inFlight = 0;
      await clock.advance(10 * LIMIT_MS);
    }
    confirms.inFlight = 1;
    await clock.advance(LOOK_MS);
    expect(publishing.destroyed).toHaveLength(1);
  });

  it('has no timer when it is switched off, and none when it has ended', async () => {
    watch.end();
    expect(clock.armedTimers()).toBe(0);
    watch = make(Infinity);
    watch.start();
    expect(clock.armedTimers()).toBe(0);
  });
});
