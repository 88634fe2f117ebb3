/**
 * Who watches the messages of one connection, for integrations of this package: told of each as it passes, where an around
 * would stand in its way. Not for users: it stands behind a symbol, on an around that does nothing.
 *
 * Choice: no promise, no view of the message and no check, so that what is not noted costs next to nothing.
 */
import type { HandleWatch, SettleWatch } from '../consuming/delivery/watch.js';
import type { PublishWatch } from '../publishing/sending/outgoing-message.js';
import type { CallWatch } from '../rpc/calling/call.js';

/** The method by which an around makes that of one connection. A name for all copies of this package. */
export const WATCHES_CONNECTION = Symbol.for('nestjs-rmq-keepalive:watches-connection');

export type LinkUse = 'publishing' | 'consuming';

/** What is known of the connection. */
export interface ConnectionFacts {
  /** `amqp://host:port/vhost`, without credentials, of the link, or the other one; `undefined` before the first dial. */
  endpoint(use: LinkUse): string | undefined;
  /** Shown in the broker's connection list. */
  nameAtBroker(use: LinkUse): string;
}

export interface ConnectionWatch {
  readonly publish: PublishWatch;
  readonly handle: HandleWatch;
  readonly settled: SettleWatch;
  readonly call: CallWatch;
  /** Whether anything is noted now: else there is nothing that others would note a second time. */
  notes(): boolean;
  /** Before anything else is called. */
  attach(facts: ConnectionFacts): void;
}

/** `undefined`: an ordinary around. */
export function watchOf(around: object): ConnectionWatch | undefined {
  return (around as Partial<Record<typeof WATCHES_CONNECTION, () => ConnectionWatch>>)[WATCHES_CONNECTION]?.();
}
