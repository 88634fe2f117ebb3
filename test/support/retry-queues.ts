/** Retry queues for specs: made beforehand, because one that the library has to make rests for two seconds first; and asked for their messages. */
import type { Channel } from 'amqplib';
import { retryEntities } from '#engine/copies/retry-queues.js';
import { bareClient } from './bare-amqplib.js';
import type { FaultFixture } from './fault-fixture.js';
import { putNamesOnDisk } from './names-on-disk.js';
import { until } from './until.js';

export async function makeRetryQueues(faults: FaultFixture, delaysMs: readonly number[]): Promise<void> {
  const { channel } = await bareClient(faults);
  for (const entity of retryEntities(delaysMs)) {
    if (entity.kind === 'exchange') await channel.assertExchange(entity.name, entity.type, entity.options);
    else if (entity.kind === 'queue') await channel.assertQueue(entity.name, entity.options);
    else await channel.bindQueue(entity.destination, entity.exchange, entity.routingKey, entity.arguments);
  }
  // What the two seconds are for: the names of new quorum queues are on disk.
  await putNamesOnDisk(faults);
}

/** Waits until the queue holds so many messages that nobody has in hand. Asked over AMQP: the broker's lists are some seconds behind for quorum queues. */
export async function untilWaiting(channel: Channel, queue: string, messages: number): Promise<void> {
  await until(`${messages} wait in ${queue}`, async () => (await channel.checkQueue(queue)).messageCount === messages);
}
