import { describe, expect, it } from '@jest/globals';
import { type DeadLetter, OptionsError, PublishReturnedError, type RmqConnection } from 'nestjs-rmq-keepalive';
import { PayloadNotDecodableError } from 'nestjs-rmq-keepalive/errors';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { untilWaiting } from '../support/retry-queues.js';
import { until } from '../support/until.js';

interface Order {
  id: string;
}

describe.each(['classic', 'quorum'] as const)('when there are dead letters in a %s queue', (type) => {
  const faults = useFaults();
  const ids = Array.from({ length: 20 }, (_, i) => `m${i}`);

  /** A service whose handler fails until it is mended; with its dead letters. */
  async function broken(messages: readonly string[] = ids): Promise<{ connection: RmqConnection; mend(): void }> {
    let isMended = false;
    const connection = faults.connect({ topology: { queues: [{ name: 'work.dead', type }] } });
    connection.subscribe(
      { queue: 'work', exchange: 'shop', routingKey: 'order.*', queueOptions: { type }, prefetch: 1 },
      (payload, delivery) => {
        if (!isMended) throw new RangeError(`cannot handle ${(payload as Order).id}`);
        faults.oracle.consume(payload, delivery);
      },
    );
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    for (const id of messages) await faults.oracle.publish(connection, 'shop', 'order.created', id);
    await until('all are dead', () => connection.status().counters.deadLettered === messages.length);
    // The first copy found no queue, which was no failure of anybody's publish.
    expect(connection.status().counters.publishFailed).toBe(0);
    expect(faults.oracle.eventsOf('publish-failed')).toEqual([]);
    return { connection, mend: () => (isMended = true) };
  }

  const idsOf = (letters: readonly DeadLetter[]): string[] => letters.map(({ messageId }) => messageId ?? '(none)');

  it('lists them, oldest first, with all that is known of them, and they stay', async () => {
    const { connection } = await broken();
    const letters = await connection.deadLetters.list('work.dead', { limit: 5 });
    expect(idsOf(letters)).toEqual(ids.slice(0, 5));
    expect(letters[0]).toMatchObject({
      reason: 'handler-failed',
      error: { name: 'RangeError', message: 'cannot handle m0' },
      attempts: 1,
      subscription: 'work',
      queue: 'work',
      exchange: 'shop',
      routingKey: 'order.created',
      replayed: 0,
      payload: { id: 'm0' },
      at: expect.any(Date),
    });
    expect(letters[0]?.firstSeenAt).toEqual(letters[0]?.at);
    expect(JSON.parse(JSON.stringify(letters[0]))).toMatchObject({
      messageId: 'm0',
      reason: 'handler-failed',
      payload: { id: 'm0' },
      bytes: 11,
      headers: { 'x-dead-queue': 'work' },
    });
    const { channel } = await bareClient(faults);
    await untilWaiting(channel, 'work.dead', ids.length);
    expect(idsOf(await connection.deadLetters.list({ subscription: 'work' }))).toHaveLength(ids.length);
  });

  it('lists them as often as one likes: none is dropped by a delivery limit', async () => {
    const { connection } = await broken(['m0', 'm1']);
    // No client can see it.
    await faults.broker.setPolicy('limit', '.*', { 'delivery-limit': 3 }, faults.vhost.name);
    for (let i = 0; i < 30; i++) expect(idsOf(await connection.deadLetters.list('work.dead'))).toHaveLength(2);
    expect(idsOf(await connection.deadLetters.list('work.dead')).sort()).toEqual(['m0', 'm1']);
  });

  it('replays them to their queue, as they were published, once each; the count of replays goes along', async () => {
    const { connection, mend } = await broken();
    const before = await connection.deadLetters.replay('work.dead', { limit: 7 });
    expect(before).toEqual({ replayed: 7, skipped: 0, failed: 0, cause: undefined });
    await until('they failed again', () => connection.status().counters.deadLettered === ids.length + 7);
    const again = (await connection.deadLetters.list('work.dead')).filter(({ replayed }) => replayed === 1);
    expect(idsOf(again).sort()).toEqual(ids.slice(0, 7).sort());
    expect(again[0]).toMatchObject({ exchange: 'shop', routingKey: 'order.created', attempts: 1 });
    mend();
    expect(await connection.deadLetters.replay('work.dead')).toMatchObject({ replayed: ids.length, failed: 0 });
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.duplicates).toBe(0);
    expect(await connection.deadLetters.list('work.dead')).toEqual([]);
  });

  it('replays only what the filter wants, to where one likes; the others keep their order', async () => {
    const { connection } = await broken();
    const { channel } = await bareClient(faults);
    await channel.assertQueue('elsewhere');
    const report = await connection.deadLetters.replay('work.dead', {
      filter: ({ payload }) => Number((payload as Order).id.slice(1)) % 2 === 0,
      to: { exchange: '', routingKey: 'elsewhere' },
    });
    expect(report).toEqual({ replayed: 10, skipped: 10, failed: 0, cause: undefined });
    await untilWaiting(channel, 'elsewhere', 10);
    const odd = ids.filter((_, i) => i % 2 === 1);
    expect(idsOf(await connection.deadLetters.list('work.dead'))).toEqual(odd);
    const moved = await channel.get('elsewhere', { noAck: true });
    expect(moved).toMatchObject({ properties: { messageId: 'm0', headers: { 'x-replayed': 1 } } });
    expect(Object.keys((moved as { properties: { headers: object } }).properties.headers)).toEqual(['x-replayed']);
  });

  it('replays to the exchange: every queue that is bound gets it', async () => {
    const { connection, mend } = await broken(['m0']);
    const { channel } = await bareClient(faults);
    await channel.assertQueue('audit');
    await channel.bindQueue('audit', 'shop', 'order.created');
    mend();
    expect(await connection.deadLetters.replay('work.dead', { to: 'exchange' })).toMatchObject({ replayed: 1 });
    await untilWaiting(channel, 'audit', 1);
    await until('its own queue too', () => faults.oracle.consumed.has('m0'));
  });

  it('keeps what cannot be replayed because its queue is gone, and replays the rest', async () => {
    const { connection } = await broken(['m0', 'm1']);
    const { channel } = await bareClient(faults);
    channel.sendToQueue('work.dead', Buffer.from('"stray"'), {
      messageId: 'stray',
      persistent: true,
      headers: { 'x-dead-queue': 'no-such-queue' },
    });
    channel.sendToQueue('work.dead', Buffer.from('{'), { messageId: 'unknown', persistent: true });
    await untilWaiting(channel, 'work.dead', 4);
    const report = await connection.deadLetters.replay('work.dead', { filter: ({ queue }) => queue !== 'work' });
    expect(report).toMatchObject({ replayed: 0, skipped: 2, failed: 2 });
    expect(report.cause).toBeInstanceOf(report.cause instanceof OptionsError ? OptionsError : PublishReturnedError);
    const left = await connection.deadLetters.list('work.dead');
    expect(idsOf(left).sort()).toEqual(['m0', 'm1', 'stray', 'unknown']);
    const unknown = left.find(({ messageId }) => messageId === 'unknown');
    expect(unknown).toMatchObject({ queue: undefined, reason: undefined, attempts: undefined, at: undefined });
    expect(() => unknown?.payload).toThrow(PayloadNotDecodableError);
  });

  it('puts everything back when the filter throws', async () => {
    const { connection } = await broken(['m0', 'm1', 'm2']);
    const filter = ({ messageId }: DeadLetter): boolean => {
      if (messageId === 'm2') throw new Error('filter');
      return false;
    };
    await expect(connection.deadLetters.replay('work.dead', { filter })).rejects.toThrow('filter');
    expect(idsOf(await connection.deadLetters.list('work.dead')).sort()).toEqual(['m0', 'm1', 'm2']);
  });

  it('throws them away when told to', async () => {
    const { connection } = await broken(['m0', 'm1']);
    expect(await connection.deadLetters.purge('work.dead')).toBe(2);
    expect(await connection.deadLetters.list('work.dead')).toEqual([]);
  });

  it('loses none when the link is lost in the middle of a replay, and says so', async () => {
    const { connection: other, mend } = await broken();
    const proxy = await faults.proxy();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url), links: 'shared' });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    mend();
    let gets = 0;
    proxy.onFrame(
      ({ method, direction }) => method === 'basic.get-ok' && direction === 'to-client',
      () => {
        if (++gets === 10) proxy.reset();
      },
    );
    await expect(connection.deadLetters.replay('work.dead')).rejects.toMatchObject({
      code: 'RMQ_DEAD_LETTERS_UNREACHABLE',
      queue: 'work.dead',
    });
    const rest = await other.deadLetters.replay('work.dead');
    expect(rest.failed).toBe(0);
    await until('none is lost', () => faults.oracle.lost().length === 0);
    expect(await other.deadLetters.list('work.dead')).toEqual([]);
  });

  it('control: bare amqplib that reads and acks as it goes loses what it had in hand', async () => {
    await broken();
    const proxy = await faults.proxy();
    const { channel, session } = await bareClient(faults, proxy.url(faults.vhost.url));
    const letter = await channel.get('work.dead', { noAck: true });
    proxy.silence('to-broker');
    if (letter !== false) channel.sendToQueue('work', letter.content);
    proxy.reset();
    await until('the link is lost', async () => (await faults.broker.listConnections(faults.vhost.name)).length === 2);
    session.removeAllListeners('close');
    const { channel: after } = await bareClient(faults);
    const waiting = async (queue: string): Promise<number> => (await after.checkQueue(queue)).messageCount;
    expect(await waiting('work.dead')).toBe(ids.length - 1);
    expect(await waiting('work')).toBe(0);
  });
});

describe('when dead letters are asked for that cannot be had', () => {
  const faults = useFaults();

  it('takes a queue that does not exist for an empty one', async () => {
    const connection = faults.connect();
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    expect(await connection.deadLetters.list('nobody.dead')).toEqual([]);
    expect(await connection.deadLetters.replay('nobody.dead')).toMatchObject({ replayed: 0 });
    expect(await connection.deadLetters.purge('nobody.dead')).toBe(0);
    expect(connection.state.name).toBe('open');
  });

  it('refuses bad options by name', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'plain', deadLetter: false }, () => undefined);
    const { deadLetters } = connection;
    await expect(deadLetters.list('')).rejects.toThrow(/"" is not a dead-letter queue/);
    await expect(deadLetters.list({ subscription: 'x' })).rejects.toThrow(/no subscription "x"/);
    await expect(deadLetters.list({ subscription: 'plain' })).rejects.toThrow(/deadLetter: false/);
    await expect(deadLetters.list('q', { limit: 0 })).rejects.toThrow(/list options\.limit/);
    await expect(deadLetters.list('q'.repeat(256))).rejects.toThrow(/256 bytes are more than the 255/);
    await expect(deadLetters.replay('q', { to: 'queues' as never })).rejects.toThrow(/replay options\.to/);
    await expect(deadLetters.replay('q', { filter: 1 as never })).rejects.toThrow(/replay options\.filter/);
  });

  it('reads what the broker itself has dead-lettered, and brings it back', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work', {
      arguments: { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'theirs' },
    });
    await channel.assertQueue('theirs');
    channel.sendToQueue('work', Buffer.from('{"id":"m1"}'), { messageId: 'm1' });
    const message = await until('it is there', () => channel.get('work'));
    channel.reject(message, false);
    await untilWaiting(channel, 'theirs', 1);
    const connection = faults.connect();
    await connection.start();
    const [letter] = await connection.deadLetters.list('theirs');
    expect(letter).toMatchObject({ reason: 'rejected', queue: 'work', exchange: '', routingKey: 'work' });
    expect(await connection.deadLetters.replay('theirs')).toMatchObject({ replayed: 1 });
    await untilWaiting(channel, 'work', 1);
  });

  it('gives up in time when the connection is not open, with a typed error', async () => {
    const proxy = await faults.proxy();
    await proxy.refuse();
    const connection = faults.connect({ urls: proxy.url(faults.vhost.url) });
    await connection.start();
    await expect(connection.deadLetters.list('work.dead')).rejects.toMatchObject({ code: 'RMQ_NOT_OPEN' });
  }, 20_000);
});
