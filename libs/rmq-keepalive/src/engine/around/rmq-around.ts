/** What stands around a connection's messages: checked, and composed once. */
import { checkOptionsObject, shown } from '../base/option-checks.js';
import { type AroundDeliver, composedDeliver } from '../consuming/delivery/around.js';
import { OptionsError } from '../errors/options-error.js';
import { type AroundPublish, composedPublish } from '../publishing/around/around.js';
import { type ConnectionWatch, watchOf } from './connection-watch.js';

/**
 * Something of your own around every message of a connection: an object, or an instance of a class, with one of the two
 * or both.
 *
 * ```ts
 * import { AsyncLocalStorage } from 'node:async_hooks';
 * import { randomUUID } from 'node:crypto';
 * import type { RmqAround } from 'nestjs-rmq-keepalive';
 *
 * const requests = new AsyncLocalStorage<string>();
 * const requestIds: RmqAround = {
 *   publish: (message, send) => {
 *     const id = message.headers['x-request-id'] ?? requests.getStore();
 *     return send({ headers: { 'x-request-id': id } });
 *   },
 *   deliver: (delivery, handle) => requests.run(String(delivery.headers['x-request-id'] ?? randomUUID()), handle),
 * };
 * ```
 */
export interface RmqAround {
  /**
   * Around each message that goes out: events, requests, replies, and the copies that a retry, a dead letter or a replay
   * is; `message.kind` says which. Send it with `send()`, or with other headers with `send({ headers })`.
   *
   * `send()` resolves with the broker's confirm (where there is none, when the socket has the message) and rejects as
   * `publish()` does. An error of your own rejects that publish with `PublishAroundError` (RMQ_PUBLISH_AROUND_FAILED), and
   * so does a return without a call of `send()`. A publish that failed stays failed, whatever becomes of its error here.
   * Call `send()` before you await anything, or messages overtake each other.
   */
  publish?: AroundPublish;
  /**
   * Around each call of a handler, in the async context of the delivery's arrival; for a batch once, with its first delivery
   * and the batch. `handle()` calls the handler. What you return or throw counts as what the handler returned or threw:
   * without a call of `handle()` the message is acked unhandled. Its time counts as the handler's (`handlerTimeoutMs`).
   */
  deliver?: AroundDeliver;
}

/** The option `around`. */
export type AroundOption = RmqAround | readonly RmqAround[];

export interface ResolvedAround {
  readonly publish: AroundPublish | undefined;
  readonly deliver: AroundDeliver | undefined;
  readonly watch: ConnectionWatch | undefined;
}

/** @throws {@link OptionsError} */
export function resolveAround(option: AroundOption | undefined): ResolvedAround {
  const given: readonly RmqAround[] =
    option === undefined ? [] : Array.isArray(option) ? option : [option as RmqAround];
  given.forEach((around, index) => checkAround(around, Array.isArray(option) ? `around[${index}]` : 'around'));
  const watches = given.map(watchOf);
  const arounds = given.filter((_, index) => watches[index] === undefined);
  return {
    // One is enough: the next would note everything a second time.
    watch: watches.find((watch) => watch !== undefined),
    publish: composedPublish(
      arounds.flatMap((around): AroundPublish[] =>
        around.publish === undefined ? [] : [(message, send) => around.publish?.(message, send)],
      ),
    ),
    deliver: composedDeliver(
      arounds.flatMap((around): AroundDeliver[] =>
        around.deliver === undefined ? [] : [(delivery, handle, batch) => around.deliver?.(delivery, handle, batch)],
      ),
    ),
  };
}

const NAMES = ['publish', 'deliver'] as const satisfies readonly (keyof RmqAround)[];

function checkAround(around: RmqAround, path: string): void {
  if (typeof around === 'function')
    throw new OptionsError(
      path,
      'it is a function or a class',
      'Give { publish, deliver }, or an instance of the class; RmqKeepaliveModule takes the class itself of a provider',
    );
  const isPlain = typeof around === 'object' && around !== null && Object.getPrototypeOf(around) === Object.prototype;
  // An instance has fields of its own.
  if (isPlain || typeof around !== 'object' || around === null) checkOptionsObject(around, NAMES, path);
  const given = NAMES.filter((name) => around[name] !== undefined);
  for (const name of given)
    if (typeof around[name] !== 'function')
      throw new OptionsError(`${path}.${name}`, `${shown(around[name])} is not a function`, EXAMPLES[name]);
  if (given.length === 0)
    throw new OptionsError(path, 'it has neither publish nor deliver', `${EXAMPLES.publish}. ${EXAMPLES.deliver}`);
}

const EXAMPLES = {
  publish: 'Give publish: (message, send) => send()',
  deliver: 'Give deliver: (delivery, handle) => handle()',
} as const;
