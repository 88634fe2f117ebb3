/** How deliveries are handed out and settled: options, units, defaults, and what cannot go together. */
import { OptionsError } from '../../errors/options-error.js';
import { MAX_TIMER_MS } from '../../base/clock.js';
import { checkBoolean, checkNumber, checkOptionsObject, oneOf, shown } from '../../base/option-checks.js';
import { DEFAULT_ACK_TIMEOUT_MS, resolveAckTimeout } from './ack-timeout.js';
import type { Delivery } from '../delivery/delivery.js';
import type { StreamStart } from './stream-position.js';

export interface HandlingOptions<T = unknown> {
  /**
   * How many unacknowledged deliveries the broker may have under way to you, 1 to 65535.
   * @unit deliveries
   * @default 20, or `concurrency` if that is more; for batches one more than are handled at a time, so that it can fill
   */
  prefetch?: number;
  /**
   * How a delivery is settled.
   * - `auto`: by the handler's end. It returns: ack. It throws: the failure way. It returns a `Settlement`: that.
   * - `manual`: by you, on the `Delivery`, with `ack()`, `requeue()` or `reject()`, during the handler or later. A handler that
   *   throws fails its deliveries as with `auto`, and a returned `Settlement` counts. Until it is settled, a delivery counts as
   *   running: towards `concurrency`, `handlerTimeoutMs` and the drain at the end.
   * - `none`: not at all. The broker forgets a message as soon as it is sent: **at most once**. If the process, the channel or
   *   the link ends, everything that fails, waits or is under way is lost, and only reported. `prefetch` does not hold the broker back then;
   *   beyond 10,000 messages that wait for a handler, new ones are dropped and counted.
   * @default 'auto'
   */
  ack?: 'auto' | 'manual' | 'none';
  /**
   * How many handlers run at a time, 1 to 65535; no more than `prefetch` has deliveries for. The other deliveries wait in this
   * process, in order.
   * @unit handlers
   * @default prefetch; 1 for batches
   */
  concurrency?: number;
  /**
   * Messages for which this returns the same key (compared as in a `Map`) are handled one at a time, in the order they arrive;
   * others in parallel. A message with `undefined` as key waits for no other. A function that throws fails the delivery.
   *
   * The order is that of one channel of one consumer. Redelivered messages come again in the broker's order, beside those whose
   * handlers outlived the channel. A message that is retried comes later than its successors. So does one that came back to a
   * quorum queue twice, unless `queueOptions` set a higher `x-delivery-limit`. For one order over several processes add
   * `singleActive: true`.
   * @default no order
   */
  orderedBy?: (payload: T, delivery: Delivery) => unknown;
  /**
   * How long a handler may take; `false`: as long as it likes. Then `delivery.signal` aborts, the delivery fails with
   * `RMQ_HANDLER_TIMEOUT` (retried, or dead-lettered), the next one begins, and everything that the late handler still settles is
   * a counted no-op. The handler cannot be stopped, only warned: a retry may run beside it.
   *
   * Keep it below the broker's own limit ({@link ackTimeoutMs}), which closes the channel and delivers everything again, to the
   * same end.
   * @default five sixths of ackTimeoutMs: 1_500_000 (25 minutes)
   */
  handlerTimeoutMs?: number | false;
  /**
   * How long the broker waits for the settlement of a delivery before it takes it back (its `consumer_timeout`, a policy
   * `consumer-timeout`, or the argument `x-consumer-timeout`); `false`: for ever, as classic queues and streams do from RabbitMQ
   * 4.3 on. Write the broker's value here: this does not set it, and the broker cannot be asked. A message that waits for a
   * handler and cannot be done after four fifths of it goes back, and the prefetch shrinks to the number that can. If the broker
   * closes a channel over it, and names another value, that value counts from then on.
   * @default the `x-consumer-timeout` in `queueOptions.arguments` or `consumerArguments`, else that of the connection
   */
  ackTimeoutMs?: number | false;
  /**
   * Refuses every other consumer of the queue while this one is attached. While another one is, this one is refused (403), named in
   * status, and tried again. Classic queues only: quorum queues and streams ignore it, so it is refused for them.
   * @default false
   */
  exclusive?: boolean;
  /**
   * Declares the queue with a single active consumer (`x-single-active-consumer`): of all processes that subscribe, one is
   * served, and the next one when that goes. The others are attached and stand by. A queue that exists without it cannot get it
   * (406): then nothing is consumed, and status says why.
   * @default false
   */
  singleActive?: boolean;
  /**
   * Consumers with a higher one get messages first, as long as they can take them (`x-priority`).
   * @unit a whole number
   * @default 0
   */
  priority?: number;
  /**
   * Where a stream is read from when the process starts: its `first` message, its `last` chunk, the `next` that is published, an
   * offset, or a time. After a reconnect it goes on behind the settled messages, wherever it began. Makes `queueOptions.type`
   * default to `stream`.
   * @default 'next', for streams
   */
  streamOffset?: StreamStart;
}

export interface BatchOptions {
  /** The most deliveries handed to the handler at once, 1 to 65535; no more than `prefetch`. @unit deliveries */
  size: number;
  /** How long the first one waits for others. @default 100 */
  waitMs?: number;
}

export const HANDLING_OPTION_NAMES = [
  'prefetch',
  'ack',
  'concurrency',
  'orderedBy',
  'handlerTimeoutMs',
  'ackTimeoutMs',
  'exclusive',
  'singleActive',
  'priority',
  'streamOffset',
] as const satisfies readonly (keyof HandlingOptions)[];

/** Checked. */
export interface WantedHandling {
  readonly prefetch: number;
  readonly ack: 'auto' | 'manual' | 'none';
  readonly concurrency: number;
  readonly orderedBy: ((payload: unknown, delivery: Delivery) => unknown) | undefined;
  readonly handlerTimeoutMs: number | undefined;
  /** `Infinity`: none. */
  readonly ackTimeoutMs: number;
  readonly batch: { readonly size: number; readonly waitMs: number } | undefined;
  readonly exclusive: boolean;
  readonly singleActive: boolean;
  readonly priority: number | undefined;
  readonly streamOffset: StreamStart | undefined;
}

const DEFAULT_PREFETCH = 20;
const DEFAULT_BATCH_WAIT_MS = 100;
/** Of the broker's patience: 25 minutes of 30. */
const DEFAULT_HANDLER_TIMEOUT_SHARE = 5 / 6;
const MAX_COUNT = 65_535;
const ACK_MODES = ['auto', 'manual', 'none'] as const;

/** @throws {@link OptionsError} */
export function resolveHandling<T>(
  options: HandlingOptions<T>,
  batchOptions: BatchOptions | undefined,
  path: string,
  /** As it is declared, or the connection's. */
  usualAckTimeoutMs = DEFAULT_ACK_TIMEOUT_MS,
): WantedHandling {
  const { ack = 'auto', exclusive = false, singleActive = false, orderedBy, priority, streamOffset } = options;
  oneOf(ack, ACK_MODES, `${path}.ack`);
  checkBoolean(exclusive, `${path}.exclusive`);
  checkBoolean(singleActive, `${path}.singleActive`);
  if (priority !== undefined)
    checkNumber(priority, { min: -0x8000_0000, max: 0x7fff_ffff, integer: true }, `${path}.priority`);
  const batch = resolveBatch(batchOptions, path);
  if (options.concurrency !== undefined) checkCount(options.concurrency, 'handlers', `${path}.concurrency`);
  const { prefetch = defaultPrefetch(options.concurrency, batch) } = options;
  checkCount(prefetch, 'deliveries', `${path}.prefetch`);
  const { concurrency = batch === undefined ? prefetch : 1 } = options;
  const ackTimeoutMs = resolveAckTimeout(options.ackTimeoutMs, `${path}.ackTimeoutMs`) ?? usualAckTimeoutMs;
  refuseContradictions({ ack, orderedBy, batch, prefetch, concurrency }, path);
  return {
    ack,
    prefetch,
    concurrency,
    orderedBy: orderedBy as WantedHandling['orderedBy'],
    handlerTimeoutMs: resolveTimeout(options.handlerTimeoutMs, ackTimeoutMs, path),
    ackTimeoutMs,
    batch,
    exclusive,
    singleActive,
    priority,
    streamOffset: resolveStreamOffset(streamOffset, path),
  };
}

function defaultPrefetch(concurrency: number | undefined, batch: WantedHandling['batch']): number {
  if (batch === undefined) return Math.max(DEFAULT_PREFETCH, concurrency ?? 0);
  return Math.min(((concurrency ?? 1) + 1) * batch.size, MAX_COUNT);
}

function resolveBatch(batch: BatchOptions | undefined, path: string): WantedHandling['batch'] {
  if (batch === undefined) return undefined;
  checkOptionsObject(batch, ['size', 'waitMs'], `${path}.batch`);
  const { size, waitMs = DEFAULT_BATCH_WAIT_MS } = batch;
  checkNumber(
    size,
    { min: 1, max: MAX_COUNT, unit: 'deliveries', integer: true, isRequired: true },
    `${path}.batch.size`,
  );
  checkNumber(waitMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, `${path}.batch.waitMs`);
  return { size, waitMs };
}

function resolveTimeout(timeoutMs: number | false | undefined, ackTimeoutMs: number, path: string): number | undefined {
  if (timeoutMs === false) return undefined;
  // Where the broker waits for ever, a handler that never ends is still to be found.
  if (timeoutMs === undefined)
    return DEFAULT_HANDLER_TIMEOUT_SHARE * (ackTimeoutMs === Infinity ? DEFAULT_ACK_TIMEOUT_MS : ackTimeoutMs);
  checkNumber(timeoutMs, { min: 1, max: MAX_TIMER_MS, unit: 'milliseconds' }, `${path}.handlerTimeoutMs`);
  return timeoutMs;
}

function resolveStreamOffset(offset: StreamStart | undefined, path: string): StreamStart | undefined {
  if (offset === undefined || offset === 'first' || offset === 'last' || offset === 'next') return offset;
  if (offset instanceof Date && !Number.isNaN(offset.getTime())) return offset;
  if (typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw new OptionsError(
    `${path}.streamOffset`,
    `${shown(offset)} is not a place in a stream`,
    "Use 'first', 'last', 'next', an offset from 0, or a valid Date",
  );
}

/** Options that are possible one by one, and not together: is it so, which option to name, why, and the way out. */
interface Contradiction {
  readonly isThere: boolean;
  readonly option: string;
  readonly why: string;
  readonly wayOut: string;
}

function contradictionsIn({ ack, orderedBy, batch, prefetch, concurrency }: ToBeCompared): readonly Contradiction[] {
  const size = batch?.size ?? 1;
  return [
    {
      isThere: orderedBy !== undefined && typeof orderedBy !== 'function',
      option: 'orderedBy',
      why: `${shown(orderedBy)} is not a function`,
      wayOut: 'Use e.g. (order) => order.id',
    },
    {
      isThere: orderedBy !== undefined && batch !== undefined,
      option: 'orderedBy',
      why: 'a batch is handled as a whole, in the order of arrival',
      wayOut: 'Drop it; with concurrency: 1, the default for batches, all of the queue is in order',
    },
    {
      isThere: size > prefetch,
      option: 'batch.size',
      why: `${size} deliveries never come together with prefetch ${prefetch}`,
      wayOut: `Use prefetch: ${Math.min(2 * size, MAX_COUNT)}, so that one batch fills while the other is handled`,
    },
    {
      // Without acks the prefetch holds nothing back.
      isThere: ack !== 'none' && concurrency * size > prefetch,
      option: 'concurrency',
      why: `${concurrency} ${batch === undefined ? 'handlers' : `batches of ${size}`} never run at a time with prefetch ${prefetch}`,
      wayOut: 'Raise prefetch, or leave it out',
    },
    {
      isThere: ack === 'none' && batch !== undefined,
      option: 'ack',
      why: "a batch in the making would be lost with 'none'",
      wayOut: "Use 'auto' or 'manual'",
    },
  ];
}

interface ToBeCompared {
  readonly ack: WantedHandling['ack'];
  readonly orderedBy: unknown;
  readonly batch: WantedHandling['batch'];
  readonly prefetch: number;
  readonly concurrency: number;
}

/** Throws the first of them. */
function refuseContradictions(options: ToBeCompared, path: string): void {
  const found = contradictionsIn(options).find(({ isThere }) => isThere);
  if (found !== undefined) throw new OptionsError(`${path}.${found.option}`, found.why, found.wayOut);
}

function checkCount(value: unknown, unit: string, path: string): asserts value is number {
  checkNumber(value, { min: 1, max: MAX_COUNT, unit, integer: true }, path);
}
