import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import type { Clock } from '../../base/clock.js';
import type { ConnectionEvent } from '../../reporting/events.js';
import { CopySignatures } from '../../copies/copy-signatures.js';
import { Delivery, type DeliveryOrigin } from '../delivery/delivery.js';
import { RedeliveryCopies } from './redelivery-copies.js';

/** A link that can be lost just when the broker has confirmed a copy. */
interface TestLink extends DeliveryOrigin {
  isLive: boolean;
  readonly acked: number[];
}

function testLink(): TestLink {
  const acked: number[] = [];
  return {
    isLive: true,
    needsSettling: true,
    takesBack: true,
    signatures: new CopySignatures(),
    acked,
    settle: ({ deliveryTag }) => void acked.push(deliveryTag),
    stale: () => undefined,
    acksRead: () => Promise.resolve(),
    replaced: () => undefined,
  };
}

function back(link: TestLink, messageId?: string, body = 'tick'): Delivery {
  const message = {
    content: Buffer.from(body),
    fields: { exchange: '', routingKey: 'work', deliveryTag: 1, redelivered: true, consumerTag: 'c' },
    properties: { messageId, headers: {} },
  } as unknown as ConsumeMessage;
  return new Delivery('work', 'work', message, link);
}

function copies(send: () => Promise<void>) {
  const events: ConnectionEvent['type'][] = [];
  const made = new RedeliveryCopies('work', {
    clock: { now: () => 0 } as Clock,
    copies: { signatures: new CopySignatures(), newQueueRestMs: 0, send, declare: () => Promise.resolve() },
    event: ({ type }) => void events.push(type),
  });
  const replace = (delivery: Delivery, returns: number) => made.replace(delivery, renewal(returns));
  const count = (delivery: Delivery) => made.replace(delivery, { kind: 'count', redeliveries: 1 });
  return { events, replace, count };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const renewal = (returns: number) => ({ kind: 'renew', redeliveries: 0, returns }) as const;

describe('when the link is lost between the confirm of a copy and the ack of its original', () => {
  it.each([['with an id', 'm1'] as const, ['without one', undefined] as const])(
    'the original is not copied again, however often that happens (%s)',
    async (_, messageId) => {
      let link = testLink();
      let sent = 0;
      const { replace } = copies(() => {
        sent += 1;
        link.isLive = false;
        return Promise.resolve();
      });
      await replace(back(link, messageId), 2);
      for (let returns = 3; returns < 50; returns++) {
        link = testLink();
        expect(await replace(back(link, messageId), returns)).toBe('has-copy');
        link.isLive = false;
      }
      expect(sent).toBe(1);
    },
  );

  it('the original waits for what becomes of a copy that is still under way', async () => {
    const first = testLink();
    let confirm!: () => void;
    let refuse!: (cause: Error) => void;
    const { replace } = copies(() => new Promise((resolve, reject) => ([confirm, refuse] = [resolve, reject])));
    const before = replace(back(first, 'm1'), 2);
    await Promise.resolve();
    first.isLive = false;
    const again = replace(back(testLink(), 'm1'), 3);
    confirm();
    expect([await before, await again]).toEqual(['replaced', 'has-copy']);

    const third = testLink();
    const other = replace(back(third, 'm2'), 2);
    await Promise.resolve();
    third.isLive = false;
    refuse(new Error('no'));
    expect(await other).toBe('not-now');
  });
});

describe('when the link is lost before the broker has read the acks of originals', () => {
  it.each(['count', 'replace'] as const)('they are not kept in memory (%s)', async (how) => {
    const made = copies(() => Promise.resolve());
    const kept: WeakRef<Delivery>[] = [];
    const lose = async (messageId: string): Promise<void> => {
      const link = testLink();
      const delivery = back(link, messageId);
      kept.push(new WeakRef(delivery));
      link.acksRead = () => Promise.resolve(void (link.isLive = false));
      expect(await made[how](delivery, 2)).toBe('replaced');
    };
    for (let i = 0; i < 20; i++) await lose(`m${i}`);
    // A weak reference that was made or looked at holds until the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    // The last one may still lie on the stack.
    expect(kept.filter((one) => one.deref() !== undefined).length).toBeLessThan(2);
  });

  it('those that nobody counts push out none that is known when it comes back', async () => {
    const { replace, count } = copies(() => Promise.resolve());
    const lost = (): TestLink => {
      const link = testLink();
      link.acksRead = () => Promise.resolve(void (link.isLive = false));
      return link;
    };
    await replace(back(lost(), 'known'), 2);
    for (let i = 0; i < 10_000; i++) await count(back(lost(), `m${i}`));
    expect(await replace(back(testLink(), 'known'), 3)).toBe('has-copy');
  });
});

describe('when messages that say the same come back together', () => {
  it('each of them gets its copy', async () => {
    const link = testLink();
    let sent = 0;
    const { replace, events } = copies(() => Promise.resolve(void (sent += 1)));
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => replace(back(link), 2)));
    expect(outcomes).toEqual(Array.from({ length: 5 }, () => 'replaced'));
    expect([sent, link.acked.length]).toEqual([5, 5]);
    expect(new Set(events)).toEqual(new Set(['delivery-renewed']));
  });
});
