/** Who gets a message, how many at a time, and what becomes of it without an ack. */
import { expect, it } from '@jest/globals';
import type { ConfirmChannel, ConsumeMessage, GetMessage } from 'amqplib';
import type { HarnessFixture } from '../../support/harness-fixture.js';
import { until } from '../../support/until.js';
import { published } from './routing-cases.js';

export function consumerCases(at: HarnessFixture): void {
  const fill = async (count: number, options = {}): Promise<ConfirmChannel> => {
    const channel = await at.channel();
    await channel.assertQueue('q', options);
    for (let number = 1; number <= count; number++) await published(channel, '', 'q', {}, Buffer.from(`${number}`));
    return channel;
  };
  /** What arrives, unacked. */
  const consume = async (channel: ConfirmChannel, options = {}): Promise<ConsumeMessage[]> => {
    const arrived: ConsumeMessage[] = [];
    await channel.consume('q', (message) => void (message && arrived.push(message)), options);
    return arrived;
  };
  const texts = (messages: readonly ConsumeMessage[]): string[] => messages.map(({ content }) => String(content));

  it('a consumer gets no more than its prefetch, and more with every ack', async () => {
    const channel = await fill(5);
    await channel.prefetch(2);
    const arrived = await consume(channel);
    await until('two have come', () => arrived.length === 2);
    expect((await channel.checkQueue('q')).messageCount).toBe(3);
    channel.ack(arrived[0] as ConsumeMessage);
    await until('a third one comes', () => arrived.length === 3);
    expect(texts(arrived)).toEqual(['1', '2', '3']);
  });

  it('an ack of several settles those before it as well', async () => {
    const channel = await fill(3);
    const arrived = await consume(channel);
    await until('all have come', () => arrived.length === 3);
    channel.ack(arrived[1] as ConsumeMessage, true);
    await channel.close();
    const left = await at.channel();
    await until('the third one is back', async () => (await left.checkQueue('q')).messageCount === 1);
  });

  it('without acks the broker forgets what it has sent', async () => {
    const channel = await fill(3);
    const arrived = await consume(channel, { noAck: true });
    await until('all have come', () => arrived.length === 3);
    await channel.close();
    await expect((await at.channel()).checkQueue('q')).resolves.toMatchObject({ messageCount: 0, consumerCount: 0 });
  });

  it('what was not acked comes back when the channel is closed', async () => {
    const channel = await fill(2);
    const arrived = await consume(channel);
    await until('both have come', () => arrived.length === 2);
    await channel.close();
    const again = await consume(await at.channel());
    await until('both have come again', () => again.length === 2);
    expect(texts(again)).toEqual(['1', '2']);
    expect(again.map(({ fields }) => fields.redelivered)).toEqual([true, true]);
  });

  it('recover gives everything back that was not acked', async () => {
    const channel = await fill(1);
    expect(((await channel.get('q')) as GetMessage).fields.redelivered).toBe(false);
    await channel.recover();
    expect(((await channel.get('q')) as GetMessage).fields.redelivered).toBe(true);
  });

  it('two consumers get a message in turns', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    const [one, other] = [await consume(channel), await consume(await at.channel())];
    for (let count = 0; count < 6; count++) await published(channel, '', 'q');
    await until('all have come', () => one.length + other.length === 6);
    expect([one.length, other.length]).toEqual([3, 3]);
  });

  it('a consumer of a higher priority is served first, as long as it has room', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q');
    await channel.prefetch(2);
    const low = await consume(channel);
    const high = await consume(channel, { priority: 5 });
    for (let count = 0; count < 3; count++) await published(channel, '', 'q');
    await until('all have come', () => low.length + high.length === 3);
    expect([low.length, high.length]).toEqual([1, 2]);
  });

  it('of consumers of which one shall be active, the next one takes over', async () => {
    const channel = await at.channel();
    await channel.assertQueue('q', { arguments: { 'x-single-active-consumer': true } });
    const first = await consume(channel, { consumerTag: 'first', noAck: true });
    const second = await consume(await at.channel(), { noAck: true });
    await published(channel, '', 'q');
    await until('the first one gets it', () => first.length === 1);
    await channel.cancel('first');
    await published(channel, '', 'q');
    await until('the second one gets it', () => second.length === 1);
    expect(first).toHaveLength(1);
  });

  it('a cancelled consumer may still ack what it has', async () => {
    const channel = await fill(1);
    const arrived: ConsumeMessage[] = [];
    const { consumerTag } = await channel.consume('q', (message) => void (message && arrived.push(message)));
    await until('it has come', () => arrived.length === 1);
    await channel.cancel(consumerTag);
    channel.ack(arrived[0] as ConsumeMessage);
    await channel.close();
    await expect((await at.channel()).checkQueue('q')).resolves.toMatchObject({ messageCount: 0 });
  });

  it('a message taken by hand says how many are left', async () => {
    const channel = await fill(2);
    const message = (await channel.get('q')) as GetMessage;
    expect([String(message.content), message.fields.messageCount]).toEqual(['1', 1]);
    channel.ack(message);
  });

  it('a direct reply finds its caller', async () => {
    const caller = await at.channel();
    const replies: ConsumeMessage[] = [];
    const replyTo = 'amq.rabbitmq.reply-to';
    await caller.consume(replyTo, (message) => void (message && replies.push(message)), { noAck: true });
    await caller.assertQueue('q');
    await published(caller, '', 'q', { replyTo, correlationId: 'c1' });
    const responder = await at.channel();
    const request = (await responder.get('q', { noAck: true })) as GetMessage;
    const address = String(request.properties.replyTo);
    expect(address).toMatch(/^amq\.rabbitmq\.reply-to\..+/);
    await published(responder, '', address, { correlationId: 'c1' }, Buffer.from('reply'));
    await until('the reply has come', () => replies.length === 1);
    expect(texts(replies)).toEqual(['reply']);
  });
}
