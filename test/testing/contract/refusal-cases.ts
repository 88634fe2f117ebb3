/** What the broker refuses, with which code and in which words. */
import { once } from 'node:events';
import { expect, it } from '@jest/globals';
import { type ConfirmChannel, connect } from 'amqplib';
import type { HarnessFixture } from '../../support/harness-fixture.js';
import { published } from './routing-cases.js';

const REFUSED: readonly [string, (channel: ConfirmChannel) => Promise<unknown>, number, RegExp][] = [
  [
    'a queue declared with another durability',
    async (channel) => {
      await channel.assertQueue('q', { durable: true });
      return channel.assertQueue('q', { durable: false });
    },
    406,
    /PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '.*': received 'false' but current is 'true'/,
  ],
  [
    'a queue declared with another time to live',
    async (channel) => {
      await channel.assertQueue('q', { messageTtl: 1_000 });
      return channel.assertQueue('q');
    },
    406,
    /inequivalent arg 'x-message-ttl' for queue 'q' .*: received none but current is the value '1000' of type '\w+'/,
  ],
  [
    'an exchange declared with another type',
    async (channel) => {
      await channel.assertExchange('x', 'topic');
      return channel.assertExchange('x', 'direct');
    },
    406,
    /inequivalent arg 'type' for exchange 'x' in vhost '.*': received 'direct' but current is 'topic'/,
  ],
  ['a passive declare of no queue', (channel) => channel.checkQueue('no'), 404, /NOT_FOUND - no queue 'no' in vhost/],
  ['a passive declare of no exchange', (channel) => channel.checkExchange('no'), 404, /no exchange 'no' in vhost/],
  ['a consumer of no queue', (channel) => channel.consume('no', () => undefined), 404, /no queue 'no' in vhost/],
  ['a message taken from no queue', (channel) => channel.get('no'), 404, /no queue 'no' in vhost/],
  ['a publish to no exchange', (channel) => published(channel, 'no', 'key'), 404, /no exchange 'no' in vhost/],
  [
    'a binding to no exchange',
    async (channel) => {
      await channel.assertQueue('q');
      return channel.bindQueue('q', 'no', '');
    },
    404,
    /no exchange 'no' in vhost/,
  ],
  [
    'a queue with a name of the broker',
    (channel) => channel.assertQueue('amq.mine'),
    403,
    /ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.\*'/,
  ],
  [
    'a binding to the default exchange',
    async (channel) => {
      await channel.assertQueue('q');
      return channel.bindQueue('q', '', 'key');
    },
    403,
    /ACCESS_REFUSED - operation not permitted on the default exchange/,
  ],
  [
    'a consumer beside one that is exclusive',
    async (channel) => {
      await channel.assertQueue('q');
      await channel.consume('q', () => undefined, { exclusive: true });
      return channel.consume('q', () => undefined);
    },
    403,
    /ACCESS_REFUSED - queue 'q' in vhost '.*' in exclusive use/,
  ],
  [
    'the deletion of a queue that is not empty, if it is',
    async (channel) => {
      await channel.assertQueue('q');
      await published(channel, '', 'q');
      return channel.deleteQueue('q', { ifEmpty: true });
    },
    406,
    /queue 'q' in vhost '.*' (is )?not empty/,
  ],
  [
    'the deletion of a queue that is in use, if it is not',
    async (channel) => {
      await channel.assertQueue('q');
      await channel.consume('q', () => undefined);
      return channel.deleteQueue('q', { ifUnused: true });
    },
    406,
    /queue 'q' in vhost '.*' in use/,
  ],
  [
    'an offset on a queue that is no stream',
    async (channel) => {
      await channel.assertQueue('q');
      await channel.prefetch(1);
      return channel.consume('q', () => undefined, { arguments: { 'x-stream-offset': 'first' } });
    },
    406,
    /invalid arg 'x-stream-offset' for queue 'q' in vhost '.*' of queue type rabbit_classic_queue/,
  ],
];

export function refusalCases(at: HarnessFixture): void {
  it.each(REFUSED)('%s costs the channel, and says why', async (_, ask, code, words) => {
    const channel = await at.channel();
    const closed = once(channel, 'error') as Promise<[{ code: number; message: string }]>;
    const asked = ask(channel).catch(() => undefined);
    const [error] = await closed;
    await asked;
    expect(error.code).toBe(code);
    expect(error.message).toMatch(words);
    // The connection lives on.
    await expect((await at.channel()).checkExchange('amq.topic')).resolves.toBeDefined();
  });

  it('a queue that belongs to another connection is locked', async () => {
    await (await at.channel()).assertQueue('mine', { exclusive: true });
    const other = await at.channel();
    await expect(other.checkQueue('mine')).rejects.toThrow(
      /405.*RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine'/,
    );
  });

  it('an ack for what was never delivered costs the channel', async () => {
    const channel = await at.channel();
    const closed = once(channel, 'error') as Promise<[{ code: number; message: string }]>;
    channel.ack({ fields: { deliveryTag: 7 } } as never);
    const [{ code, message }] = await closed;
    expect(code).toBe(406);
    expect(message).toContain('unknown delivery tag 7');
  });

  it('a wrong password and a vhost that is not there are refused', async () => {
    const wrong = new URL(at.harness.url);
    wrong.password = 'wrong';
    await expect(connect(wrong.href)).rejects.toThrow(/403|ACCESS.REFUSED/i);
    const nowhere = new URL(at.harness.url);
    nowhere.pathname = '/nowhere';
    await expect(connect(nowhere.href)).rejects.toThrow(/ConnectionClose|530/);
  });
}
