import { describe, expect, it } from '@jest/globals';
import type { GetMessage, Options } from 'amqplib';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { DEAD_LETTER_HEADERS } from '#engine/consuming/failures/move-to-dead-letters.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { A_FRAME_OF_HEADERS, publishWithHeaderTable } from '../../tools/broker/raw-publish.js';
import { until } from '../support/until.js';

describe('F26: when a dead letter is hard to move', () => {
  const faults = useFaults();

  /** Rejects every payload that says so. */
  async function consume(options: Partial<RmqConnectionOptions> = {}, prefetch = 5): Promise<RmqConnection> {
    const connection = faults.connect(options);
    connection.subscribe({ queue: 'work', prefetch }, (payload, delivery) => {
      if ((payload as { isPoison?: boolean }).isPoison) throw new Error('poison');
      faults.oracle.consume(payload, delivery);
    });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }

  const poison = (id: string): [Buffer, Options.Publish] => [
    Buffer.from(JSON.stringify({ id, isPoison: true })),
    { contentType: 'application/json', messageId: id, persistent: true },
  ];

  const countIn = async (queue: string): Promise<number | undefined> =>
    (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === queue)?.messages;

  /** Everything in the dead-letter queue, taken out. */
  async function deadLetters(): Promise<GetMessage[]> {
    const { channel } = await bareClient(faults);
    const letters: GetMessage[] = [];
    for (;;) {
      const letter = await channel.get('work.dead', { noAck: true });
      if (letter === false) return letters;
      letters.push(letter);
    }
  }

  it('because its queue was deleted: the queue is declared again, as often as it is deleted', async () => {
    const connection = await consume();
    const { channel } = await bareClient(faults);
    for (let round = 1; round <= 3; round++) {
      channel.sendToQueue('work', ...poison(`m${round}`));
      await until('it is moved', () => connection.status().counters.deadLettered === round);
      expect(await countIn('work.dead')).toBe(1);
      await faults.broker.deleteQueue('work.dead', faults.vhost.name);
    }
    expect(connection.status().counters.delivered).toBe(3);
    expect(faults.oracle.eventsOf('dead-letter-failed')).toEqual([]);
  });

  it('because its queue is missing, and the topology wants it to be of a certain kind: it becomes of that kind', async () => {
    const connection = await consume({ topology: { queues: [{ name: 'work.dead', type: 'quorum' }] } });
    await faults.broker.deleteQueue('work.dead', faults.vhost.name);
    const { channel } = await bareClient(faults);
    channel.sendToQueue('work', ...poison('m1'));
    await until('it is moved', () => connection.status().counters.deadLettered === 1);
    const queues = await faults.broker.listQueues(faults.vhost.name);
    expect(queues.find(({ name }) => name === 'work.dead')).toMatchObject({ type: 'quorum' });
    expect(connection.status().topology.refused).toEqual([]);
  });

  it('because its headers fill a frame alone: it is moved without them, and says so', async () => {
    const connection = await consume();
    const channel = await (await bareClient(faults)).session.createConfirmChannel();
    // More of them than the prefetch: were they held back, the consumer would be deaf.
    for (let i = 0; i < 8; i++)
      await publishWithHeaderTable(channel, 'work', { body: poison(`m${i}`)[0], table: A_FRAME_OF_HEADERS });
    await until('all are moved', () => connection.status().counters.deadLettered === 8);
    await faults.oracle.publish(connection, '', 'work', 'after');
    await faults.oracle.expectNothingLost();
    const letters = await deadLetters();
    expect(letters.map(({ content }) => (JSON.parse(content.toString()) as { id: string }).id).sort()).toEqual(
      Array.from({ length: 8 }, (_, i) => `m${i}`),
    );
    for (const { properties } of letters) {
      expect(properties.headers).toMatchObject({
        [DEAD_LETTER_HEADERS.reason]: 'handler-failed',
        [DEAD_LETTER_HEADERS.errorMessage]: 'poison',
        [DEAD_LETTER_HEADERS.stripped]: true,
      });
      expect(properties.headers).not.toHaveProperty('x');
    }
    expect(connection.status().counters.delivered).toBe(9);
    expect(faults.oracle.eventsOf('link-lost')).toEqual([]);
  });

  it('because the publishing link is down: it is kept, moved later, and nothing is lost when the other link goes as well', async () => {
    const proxy = await faults.proxy();
    const connection = await consume({ urls: proxy.url(faults.vhost.url), connectionName: 'service' }, 20);
    await connection.publisher.sendToQueue('work', { id: 'opens the publishing link' });
    const { channel } = await bareClient(faults);
    await proxy.refuse();
    await faults.broker.closeConnection('service default publishing');
    await until('the publishing link is down', () => connection.status().links[1]?.state !== 'open');
    const ids = Array.from({ length: 20 }, (_, i) => `m${i}`);
    for (const id of ids) channel.sendToQueue('work', ...poison(id));
    await until('all have failed', () => faults.oracle.eventsOf('handler-failed').length === 20);
    // Nothing is acked before it is safe.
    expect(connection.status().counters).toMatchObject({ acked: 1, deadLettered: 0, handlersRunning: 20 });
    expect(await countIn('work')).toBe(20);

    proxy.reset();
    await until('the other link is down too', () => connection.status().links[0]?.state !== 'open');
    await proxy.accept();
    await until('the queue is empty', async () => (await countIn('work')) === 0, { timeoutMs: 20_000 });
    await until('nobody is at work', () => connection.status().counters.handlersRunning === 0);
    const moved = (await deadLetters()).map(({ properties }) => properties.messageId as string);
    expect([...new Set(moved)].sort()).toEqual([...ids].sort());
    // At least once, and at most once for each time it was delivered.
    expect(moved.length).toBeLessThanOrEqual(40);
  }, 30_000);

  it('because the broker forbids it: it is kept, told of, tried less and less often, and moved when allowed', async () => {
    const forbidden = { configure: '.*', write: '^(?!amq\\.default$).*$', read: '.*' };
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', ...poison('m1'));
    await until('it waits', async () => (await countIn('work')) === 1);
    await faults.broker.setPermissions('guest', faults.vhost.name, forbidden);
    const connection = await consume();
    const second = await until('it has failed twice', () => faults.oracle.eventsOf('dead-letter-failed')[1]);
    expect(second.event).toMatchObject({
      subscription: 'work',
      deadLetterQueue: 'work.dead',
      retryInMs: 2_000,
      cause: { code: 'RMQ_PUBLISH_REFUSED', message: expect.stringMatching(/403/) },
    });
    await faults.broker.setPermissions('guest', faults.vhost.name, { configure: '.*', write: '.*', read: '.*' });
    await until('it is moved', () => connection.status().counters.deadLettered === 1);
    expect(connection.status().counters.delivered).toBe(1);
    expect(await countIn('work.dead')).toBe(1);
    expect(faults.oracle.eventsOf('consumer-lost')).toEqual([]);
  });

  it('and close() is called meanwhile: close() is bounded, and the delivery is back in its queue', async () => {
    const { channel } = await bareClient(faults);
    await channel.assertQueue('work');
    channel.sendToQueue('work', ...poison('m1'));
    await until('it waits', async () => (await countIn('work')) === 1);
    const forbidden = { configure: '.*', write: '^(?!amq\\.default$).*$', read: '.*' };
    await faults.broker.setPermissions('guest', faults.vhost.name, forbidden);
    const connection = await consume();
    await until('it has failed twice', () => faults.oracle.eventsOf('dead-letter-failed')[1]);
    const closedAt = performance.now();
    await connection.close({ drainTimeoutMs: 500 });
    expect(faults.tookMs(closedAt)).toBeLessThanOrEqual(1_500);
    const waiting = async () => (await faults.broker.listQueues(faults.vhost.name)).find(({ name }) => name === 'work');
    await until('it waits again', async () => (await waiting())?.messagesReady === 1);
  });

  it('control: with deadLetter: false the message is gone', async () => {
    const connection = faults.connect();
    connection.subscribe({ queue: 'work', deadLetter: false }, () => {
      throw new Error('poison');
    });
    await connection.start();
    const { channel } = await bareClient(faults);
    await connection.whenOpen({ timeoutMs: 5_000 });
    channel.sendToQueue('work', ...poison('m1'));
    await until('it was rejected', () => faults.oracle.eventsOf('delivery-rejected')[0]);
    await until('the queue is empty', async () => (await countIn('work')) === 0);
    expect((await faults.broker.listQueues(faults.vhost.name)).map(({ name }) => name)).toEqual(['work']);
  });
});
