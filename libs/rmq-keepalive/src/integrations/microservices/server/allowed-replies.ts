/** Where this server may reply to: what the engine allows, and the queue that clients with the same options listen to. */
import { ReplyAddresses } from '../../../engine/rpc/wire/reply-addresses.js';
import type { RmqServerOptions } from '../options/transport-options.js';

/** @returns why a request must not be answered, if it must not */
export type ReplyRefusal = (replyTo: string) => Error | undefined;

/** @throws {@link OptionsError} */
export function replyRefusal({ replyTo = [], replyQueue }: RmqServerOptions, path: string): ReplyRefusal {
  const addresses = new ReplyAddresses(typeof replyTo === 'string' ? [replyTo] : replyTo, `${path}.replyTo`);
  return (address) => (address === replyQueue ? undefined : addresses.refusalOf(address));
}
