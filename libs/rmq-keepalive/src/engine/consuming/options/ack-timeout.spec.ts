import { describe, expect, it } from '@jest/globals';
import type { ConnectionEvent } from '../../reporting/events.js';
import { describeEvent } from '../../reporting/event-sentences.js';
import { RmqConnection } from '../../connection/rmq-connection.js';
import { ackTimeoutIn } from './ack-timeout.js';
import { resolveSubscription, type SubscriptionOptions } from './subscription.js';
import type { BatchOptions } from './handling-options.js';

const resolved = (options: Partial<SubscriptionOptions>, batch?: BatchOptions, ackTimeoutMs?: number) =>
  resolveSubscription({ queue: 'q', ...options }, () => undefined, { batch, ackTimeoutMs });

describe('the ack timeout of a subscription', () => {
  it("is RabbitMQ's own, the connection's, the declared one, or its own, the last of these that there is", () => {
    expect(resolved({}).ackTimeoutMs).toBe(1_800_000);
    expect(resolved({}, undefined, 60_000).ackTimeoutMs).toBe(60_000);
    const declared = { queueOptions: { arguments: { 'x-consumer-timeout': 50_000 } } };
    expect(resolved(declared, undefined, 60_000).ackTimeoutMs).toBe(50_000);
    expect(resolved({ ...declared, ackTimeoutMs: 70_000 }, undefined, 60_000).ackTimeoutMs).toBe(70_000);
    expect(resolved({ ackTimeoutMs: false }).ackTimeoutMs).toBe(Infinity);
  });

  it('is the shorter one of two that are declared: which counts depends on the broker', () => {
    const both = {
      queueOptions: { arguments: { 'x-consumer-timeout': 50_000 } },
      consumerArguments: { 'x-consumer-timeout': 40_000 },
    };
    expect(resolved(both).ackTimeoutMs).toBe(40_000);
  });

  it('bounds the time of handlers, unless that is given', () => {
    expect(resolved({}).handlerTimeoutMs).toBe(1_500_000);
    expect(resolved({ ackTimeoutMs: 60_000 }).handlerTimeoutMs).toBe(50_000);
    expect(resolved({ ackTimeoutMs: false }).handlerTimeoutMs).toBe(1_500_000);
    expect(resolved({ ackTimeoutMs: 60_000, handlerTimeoutMs: false }).handlerTimeoutMs).toBeUndefined();
  });

  it.each([
    [{ ackTimeoutMs: 0 }, /\.ackTimeoutMs: 0 is not a number of milliseconds from 1/],
    [{ ackTimeoutMs: '30m' as never }, /\.ackTimeoutMs: .*30m.* is not a number/],
    [{ consumerArguments: { 'x-consumer-timeout': '5' } }, /consumerArguments\["x-consumer-timeout"\]/],
    [{ queueOptions: { arguments: { 'x-consumer-timeout': -1 } } }, /queueOptions\.arguments\["x-consumer-timeout"\]/],
  ])('refuses %j', (options, message) => {
    expect(() => resolved(options)).toThrow(message);
  });

  it('is read from what the broker says when it closes the channel', () => {
    const text = (value: string) =>
      `PRECONDITION_FAILED - delivery acknowledgement on channel 7 timed out. Timeout value used: ${value} ms. This timeout value can be configured, see consumers doc guide to learn more`;
    expect(ackTimeoutIn(text('5000'))).toBe(5_000);
    expect(ackTimeoutIn(text('-1'))).toBeUndefined();
    expect(ackTimeoutIn('PRECONDITION_FAILED - unknown delivery tag 5')).toBeUndefined();
  });
});

describe('the doubts about a subscription', () => {
  it.each([
    {},
    { concurrency: 1 },
    { prefetch: 1_000, concurrency: 1 },
    { concurrency: 1, handlerTimeoutMs: 60_000 },
    { handlerTimeoutMs: 1_800_000 },
    { concurrency: 1, handlerTimeoutMs: false as const },
    { concurrency: 1, handlerTimeoutMs: 120_000, ack: 'none' as const },
    { concurrency: 1, handlerTimeoutMs: 120_000, ackTimeoutMs: false as const },
  ])('there are none about %j', (options) => {
    expect(resolved(options).doubts).toEqual([]);
  });

  it('are about handlers that use the time which they are given', () => {
    expect(resolved({ concurrency: 1, handlerTimeoutMs: 120_000 }).doubts).toEqual([
      expect.stringMatching(/^prefetch \(20\) takes up to 2400000 ms with one handler .* Use prefetch: 15, or more/),
    ]);
    expect(resolved({ handlerTimeoutMs: 1_900_000 }).doubts).toEqual([
      expect.stringMatching(/^handlerTimeoutMs \(1900000\) is longer than .*ackTimeoutMs: 1800000/),
    ]);
  });

  it('are told as an event, once, by whoever is asked to subscribe', () => {
    const connection = new RmqConnection({ urls: 'amqp://localhost', ackTimeoutMs: 60_000 });
    const told: ConnectionEvent[] = [];
    connection.on('subscription-doubtful', (event) => told.push(event));
    connection.subscribe({ queue: 'fine', concurrency: 1 }, () => undefined);
    connection.subscribe({ queue: 'slow', concurrency: 1, handlerTimeoutMs: 30_000 }, () => undefined);
    expect(told).toMatchObject([{ subscription: 'slow', doubt: expect.stringContaining('Use prefetch: 2') }]);
    expect(describeEvent(told[0] as ConnectionEvent)).toMatchObject({
      level: 'warn',
      sentence: expect.stringMatching(/^Subscription "slow": prefetch \(20\) takes/),
    });
  });

  it('are about batches that gather for too long', () => {
    expect(resolved({}, { size: 10, waitMs: 1_000_000 }).doubts).toEqual([
      expect.stringMatching(/^batch\.waitMs \(1000000\) does not fit .* after 720000 ms at the latest/),
    ]);
    expect(resolved({}, { size: 10, waitMs: 700_000 }).doubts).toEqual([]);
  });
});
