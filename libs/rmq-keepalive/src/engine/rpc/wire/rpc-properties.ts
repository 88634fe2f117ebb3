/** The properties of a request or a reply that its sender may choose: checked on entry, and by AMQP's names and units on the wire. */
import { checkBoolean, checkNumber, checkOptionsObject, checkShortString, shown } from '../../base/option-checks.js';
import { OptionsError } from '../../errors/options-error.js';
import type { MessageProperties } from '../../wire/message-properties.js';

/** Properties of a request or a reply; those that carry the call itself are not among them. */
export interface RpcProperties {
  /** By which others may know it again. @default the id of the call */
  messageId?: string;
  /** The kind of message, in the application's own words; not `rpc.` and more, which is this library's. @default none */
  type?: string;
  /** The kind of body, if the codec's word is not precise enough. @default the codec's */
  contentType?: string;
  /** For priority queues, 0 to 255. @unit a whole number @default none, which counts as 0 */
  priority?: number;
  /** When it happened; AMQP carries whole seconds. @default none */
  timestamp?: Date;
  /** The application that sends. @default none */
  appId?: string;
  /** Must be the user that the connection logged in as, else the broker refuses the message. @default none */
  userId?: string;
  /** A durable queue stores the message on disk: seldom of use, since its caller is gone after a restart. @default false */
  persistent?: boolean;
}

/** All of them. */
export const RPC_PROPERTY_NAMES = [
  'messageId',
  'type',
  'contentType',
  'priority',
  'timestamp',
  'appId',
  'userId',
  'persistent',
] as const satisfies readonly (keyof RpcProperties)[];

/** How the types of this library's own messages begin. */
const OWN_TYPES = 'rpc.';

/** @throws {@link OptionsError} */
export function checkRpcProperties(properties: unknown, path: string): asserts properties is RpcProperties {
  checkOptionsObject(properties, RPC_PROPERTY_NAMES, path);
  const { type, priority, timestamp, persistent, ...texts } = properties as RpcProperties;
  for (const [name, text] of Object.entries({ ...texts, type }))
    if (text !== undefined) checkShortString(text, `${path}.${name}`);
  if (type?.startsWith(OWN_TYPES) === true)
    throw new OptionsError(`${path}.type`, `${shown(type)} is a word of the RPC itself`, 'Give it another beginning');
  if (priority !== undefined) checkNumber(priority, { min: 0, max: 255, integer: true }, `${path}.priority`);
  if (persistent !== undefined) checkBoolean(persistent, `${path}.persistent`);
  if (timestamp !== undefined && !(Object.prototype.toString.call(timestamp) === '[object Date]' && +timestamp >= 0))
    throw new OptionsError(`${path}.timestamp`, `${shown(timestamp)} is not a Date since 1970`, 'Give a Date');
}

/** For the wire. They were checked. */
export function wireProperties({ timestamp, ...others }: RpcProperties): MessageProperties {
  return timestamp === undefined ? others : { ...others, timestamp: Math.floor(timestamp.getTime() / 1000) };
}
