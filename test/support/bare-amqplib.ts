/** amqplib without this library: the second client of an accident, and the negative control. */
import { type Channel, type ChannelModel, connect } from 'amqplib';
import type { FaultFixture } from './fault-fixture.js';

export interface BareClient {
  readonly session: ChannelModel;
  readonly channel: Channel;
  /** What amqplib reported, in order: of the session, and of the channel. */
  readonly errors: Error[];
  readonly isChannelOpen: boolean;
  readonly isSessionOpen: boolean;
}

/** A session with one channel, with listeners for its errors, closed after the test. */
export async function bareClient(
  faults: Pick<FaultFixture, 'vhost' | 'afterwards'>,
  url = faults.vhost.url,
): Promise<BareClient> {
  const session = await connect(url);
  const channel = await session.createChannel();
  const errors: Error[] = [];
  let isChannelOpen = true;
  let isSessionOpen = true;
  for (const emitter of [session, channel]) emitter.on('error', (error: Error) => errors.push(error));
  channel.on('close', () => (isChannelOpen = false));
  session.on('close', () => (isSessionOpen = false));
  // When the accident has ended the session there is nothing left to close.
  faults.afterwards(() => session.close().catch(() => undefined));
  return {
    session,
    channel,
    errors,
    get isChannelOpen() {
      return isChannelOpen;
    },
    get isSessionOpen() {
      return isSessionOpen;
    },
  };
}
