/** Runs every arrival of a message in an async context of its own, as tracing does that wraps `channel.consume` of amqplib. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Channel, ConsumeMessage } from 'amqplib';
import { bareClient } from './bare-amqplib.js';
import type { FaultFixture } from './fault-fixture.js';

export interface Arrivals {
  /** The body of the message in whose arrival this runs. */
  current(): string | undefined;
}

/** Until the end of the test. */
export async function wrappedArrivals(faults: Pick<FaultFixture, 'vhost' | 'afterwards'>): Promise<Arrivals> {
  const arrival = new AsyncLocalStorage<string>();
  const { channel } = await bareClient(faults);
  const prototype = Object.getPrototypeOf(channel) as Pick<Channel, 'consume'>;
  const { consume } = prototype;
  faults.afterwards(() => (prototype.consume = consume));
  prototype.consume = function (this: Channel, queue, heard, options) {
    const wrapped = (message: ConsumeMessage | null): void =>
      message === null ? heard(null) : arrival.run(message.content.toString(), () => heard(message));
    return consume.call(this, queue, wrapped, options);
  };
  return { current: () => arrival.getStore() };
}
