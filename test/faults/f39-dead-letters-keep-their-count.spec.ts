import { describe, expect, it } from '@jest/globals';
import type { GetMessage } from 'amqplib';
import { type BareClient, bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { started } from '../support/started.js';
import { until } from '../support/until.js';

/** Returns after which a quorum queue gives a message up, by default. */
const LIMIT = 20;

describe('F39: when RabbitMQ 4.3 leaves a dead letter the count of the queue that gave it up', () => {
  const faults = useFaults({ ownBroker: { version: '4.3' } });

  /** In queue `dead`, where nobody has seen it. */
  async function deadLetter(): Promise<BareClient> {
    const bare = await bareClient(faults);
    const { channel } = bare;
    const toDead = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' };
    await channel.assertQueue('work', { arguments: { 'x-queue-type': 'quorum', ...toDead } });
    await channel.assertQueue('dead', { arguments: { 'x-queue-type': 'quorum' } });
    channel.sendToQueue('work', Buffer.from('{}'), { persistent: true, messageId: 'm1' });
    for (let returns = 0; returns <= LIMIT; returns++)
      channel.reject((await until('it is there', () => channel.get('work'))) as GetMessage, true);
    await until('it is a dead letter', async () => (await channel.checkQueue('dead')).messageCount === 1);
    return bare;
  }

  it('is handled, and no more of poison than any other message', async () => {
    await deadLetter();
    const connection = faults.connect({ reconnect: { maxDelayMs: 100 } });
    let begun = 0;
    let handled = 0;
    connection.subscribe({ queue: 'dead', queueOptions: { type: 'quorum' } }, async (_, { signal }) => {
      begun += 1;
      if (begun <= 3) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      if (!signal.aborted) handled += 1;
    });
    await started(connection);
    for (let lost = 1; lost <= 3; lost++) {
      await until(`it is in hand for the ${lost}. time`, () => begun >= lost);
      await faults.broker.closeAllConnections('maintenance');
    }
    await until('it was handled', () => handled === 1);
    expect(connection.status().counters.deadLettered).toBe(0);
    const { channel } = await bareClient(faults);
    await until('the queue is empty', async () => (await channel.checkQueue('dead')).messageCount === 0);
  });

  it('control: with bare amqplib it is gone when its first reader loses its link', async () => {
    const { channel } = await deadLetter();
    const reader = await bareClient(faults);
    const letter = (await reader.channel.get('dead')) as GetMessage;
    expect(letter.fields.redelivered).toBe(true);
    await reader.session.close();
    await until('it is gone', async () => {
      const { messageCount } = await channel.checkQueue('dead');
      const [dead] = (await faults.broker.listQueues(faults.vhost.name)).filter(({ name }) => name === 'dead');
      return messageCount === 0 && dead?.messages === 0;
    });
  });
});
