import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { ConsumeMessage } from 'amqplib';
import { CopySignatures } from '../../copies/copy-signatures.js';
import { Delivery, type DeliveryOrigin } from './delivery.js';
import type { SettlementKind } from './settlement.js';

/** What a delivery can do for the engine; not part of its published types. */
type EngineSide = Delivery & { takeOver(): Delivery; abort(cause: Error): void };

function deliveryWith(changes: { origin?: Partial<DeliveryOrigin>; headers?: Record<string, unknown> } = {}) {
  const said: (SettlementKind | 'stale')[] = [];
  const origin: DeliveryOrigin = {
    isLive: true,
    needsSettling: true,
    takesBack: true,
    signatures: new CopySignatures(),
    settle: (_, how) => void said.push(how),
    stale: () => void said.push('stale'),
    acksRead: () => Promise.resolve(),
    replaced: () => undefined,
    ...changes.origin,
  };
  const message = {
    content: Buffer.from('{"secret":1}'),
    fields: { exchange: 'shop', routingKey: 'order', deliveryTag: 3, redelivered: false, consumerTag: 'c' },
    properties: { messageId: 'm1', contentType: 'application/json', headers: changes.headers ?? { token: 'hush' } },
  } as unknown as ConsumeMessage;
  return { delivery: new Delivery('orders', 'Orders.onOrder', message, origin) as EngineSide, said };
}

describe('a delivery', () => {
  it('is settled once, in the way that came first', () => {
    const { delivery, said } = deliveryWith();
    expect([delivery.requeue(), delivery.ack(), delivery.reject()]).toEqual([true, false, false]);
    expect(said).toEqual(['requeue']);
  });

  it('in a log says its facts, and neither its payload nor the values of its headers', () => {
    const { delivery } = deliveryWith();
    const text = JSON.stringify(delivery);
    expect(JSON.parse(text)).toEqual({
      queue: 'orders',
      subscription: 'Orders.onOrder',
      exchange: 'shop',
      routingKey: 'order',
      redelivered: false,
      deliveryTag: 3,
      messageId: 'm1',
      contentType: 'application/json',
      bytes: 12,
      isSettled: false,
      isLive: true,
    });
    expect(inspect(delivery)).not.toMatch(/hush|secret/);
  });

  it('counts what its handler says after it was taken over, and does nothing', () => {
    const { delivery, said } = deliveryWith();
    const successor = delivery.takeOver();
    expect([delivery.isSettled, delivery.ack(), delivery.requeue()]).toEqual([true, false, false]);
    expect(said).toEqual(['stale', 'stale']);
    expect(successor.ack()).toBe(true);
    expect(said.at(-1)).toBe('ack');
  });

  it('tells its signal to whoever asks before the work is for nothing, and to whoever asks later', () => {
    const reason = new Error('the link is lost');
    const early = deliveryWith().delivery;
    const { signal } = early;
    expect(signal.aborted).toBe(false);
    early.abort(reason);
    expect(signal.reason).toBe(reason);
    const late = deliveryWith().delivery;
    late.abort(reason);
    expect(late.signal.reason).toBe(reason);
  });

  it('is not given back to a stream', () => {
    const { delivery, said } = deliveryWith({ origin: { takesBack: false }, headers: { 'x-stream-offset': 42 } });
    expect([delivery.streamOffset, delivery.requeue(), delivery.isSettled]).toEqual([42, false, false]);
    expect(delivery.ack()).toBe(true);
    expect(said).toEqual(['ack']);
  });

  it('is settled from the start where nobody has to settle it', () => {
    const { delivery, said } = deliveryWith({ origin: { needsSettling: false } });
    expect([delivery.isSettled, delivery.ack(), delivery.requeue()]).toEqual([true, false, false]);
    expect(said).toEqual([]);
  });
});
