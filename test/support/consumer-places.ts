import type { FaultFixture } from './fault-fixture.js';

/** Where the broker has these queues' consumers: a consumer that was touched has another tag or another channel. */
export async function consumerPlaces(faults: FaultFixture, queues: readonly string[]): Promise<string[]> {
  const consumers = await faults.broker.listConsumers(faults.vhost.name);
  return consumers
    .filter(({ queue }) => queues.includes(queue))
    .map(({ queue, consumerTag, channelPid }) => `${queue} ${consumerTag} ${channelPid}`)
    .sort();
}
