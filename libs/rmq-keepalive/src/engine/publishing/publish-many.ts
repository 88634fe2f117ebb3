/** Publishes many messages with back-pressure, and reports on each. */
import type { EventContract } from '../contracts/event.js';
import { asError } from '../errors/reasons.js';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, shown } from '../base/option-checks.js';
import type { WhenReadyOptions } from './readiness.js';
import type { PublishDefaults, PublishOptions } from './publish-options.js';

/**
 * One of the messages of `publishMany()`: with an address, or with the contract of an event.
 *
 * ```ts
 * function* messages(): Generator<MessageToPublish> {
 *   for (const row of rows) yield { exchange: 'shop', routingKey: 'order.imported', payload: row };
 * }
 * const report = await publisher.publishMany(messages());
 * ```
 */
export type MessageToPublish =
  | { exchange: string; routingKey: string; payload: unknown; options?: PublishOptions }
  | { event: EventContract; payload: unknown; options?: PublishOptions };

/** An array or an (async) iterable; a generator is taken from only as fast as the broker keeps up. */
export type ManyToPublish = Iterable<MessageToPublish> | AsyncIterable<MessageToPublish>;

/** Options of `publishMany()`. Those of a message win. */
export interface PublishManyOptions extends PublishDefaults {
  /** Takes no further message, and gives up those under way. @default none */
  signal?: AbortSignal;
  /** Unconfirmed messages at a time. @unit messages @default 1_000 */
  maxInFlight?: number;
  /** Takes no further message once so many have failed: more of the same would not help. @unit messages @default 1_000 */
  maxFailures?: number;
  /** How long to wait for the link, an end of the broker's alarm, or room before it gives up on the rest. @default the time limit of a message */
  readyTimeoutMs?: number;
}

/** What became of the messages. */
export interface PublishReport {
  /** Taken from the iterable. */
  readonly taken: number;
  readonly confirmed: number;
  /** By index, in ascending order; everything that was taken is either confirmed or here. */
  readonly failures: readonly PublishFailure[];
  /**
   * Why not all of them were taken, if they were not: the signal's reason, what the iterable threw, RMQ_NOT_READY,
   * RMQ_CLOSED, or too many failures.
   */
  readonly endedEarlyBecause: unknown;
}

/** One message that was not confirmed: its place in the list, and why. */
interface PublishFailure {
  readonly index: number;
  readonly error: Error;
}

/** What `publishMany()` needs of a publisher. */
interface OneByOne {
  publishOne(message: MessageToPublish, options: PublishOptions): Promise<void>;
  whenReady(options: WhenReadyOptions): Promise<void>;
}

const OPTION_NAMES = [
  'timeoutMs',
  'mandatory',
  'persistent',
  'signal',
  'maxInFlight',
  'maxFailures',
  'readyTimeoutMs',
] as const satisfies readonly (keyof PublishManyOptions)[];

/** @throws {@link OptionsError} Everything else is in the report. */
export async function publishMany(
  messages: ManyToPublish,
  options: PublishManyOptions,
  through: OneByOne,
  defaultTimeoutMs: number,
): Promise<PublishReport> {
  checkOptionsObject(options, OPTION_NAMES, 'publishMany options');
  if (!isIterable(messages))
    throw new OptionsError('publishMany(messages)', `${shown(messages)} is no list`, 'Give an array or an iterable');
  const { maxInFlight = 1_000, maxFailures = 1_000, readyTimeoutMs, signal, ...shared } = options;
  checkNumber(maxInFlight, { min: 1, max: 1_000_000, unit: 'messages', integer: true }, 'publishMany.maxInFlight');
  checkNumber(maxFailures, { min: 1, max: 1_000_000, unit: 'failures', integer: true }, 'publishMany.maxFailures');
  const underWay = new UnderWay(maxInFlight);
  const timeoutMs = readyTimeoutMs ?? options.timeoutMs ?? defaultTimeoutMs;
  const source = iteratorOf(messages);
  let endedEarlyBecause: unknown;
  try {
    for (;;) {
      await underWay.untilRoom();
      if (underWay.failures.length >= maxFailures) throw new Error(`${maxFailures} messages failed (maxFailures)`);
      await through.whenReady({ signal, timeoutMs });
      const next = await nextOf(source, signal);
      if (next.done === true) break;
      underWay.add(through.publishOne(next.value, { ...shared, signal, ...next.value?.options }));
    }
  } catch (thrown) {
    endedEarlyBecause = thrown;
    await endOf(source, signal);
  }
  await underWay.untilEmpty();
  const { taken, failures } = underWay;
  failures.sort((one, other) => one.index - other.index);
  return { taken, confirmed: taken - failures.length, failures, endedEarlyBecause };
}

class UnderWay {
  taken = 0;
  readonly failures: PublishFailure[] = [];
  #inFlight = 0;
  #wake: (() => void) | undefined;

  constructor(private readonly max: number) {}

  add(published: Promise<void>): void {
    const index = this.taken++;
    this.#inFlight += 1;
    published.then(
      () => this.#ended(),
      (error: Error) => {
        this.failures.push({ index, error });
        this.#ended();
      },
    );
  }

  async untilRoom(): Promise<void> {
    while (this.#inFlight >= this.max) await this.#untilOneEnds();
  }

  async untilEmpty(): Promise<void> {
    while (this.#inFlight > 0) await this.#untilOneEnds();
  }

  async #untilOneEnds(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #ended(): void {
    this.#inFlight -= 1;
    this.#wake?.();
    this.#wake = undefined;
  }
}

function iteratorOf(messages: ManyToPublish): AsyncIterator<MessageToPublish> | Iterator<MessageToPublish> {
  return Symbol.asyncIterator in messages ? messages[Symbol.asyncIterator]() : messages[Symbol.iterator]();
}

/** A source may be silent for ever (a cursor, a socket): the signal ends our wait for it. */
async function nextOf(
  source: AsyncIterator<MessageToPublish> | Iterator<MessageToPublish>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<MessageToPublish>> {
  if (signal === undefined) return source.next();
  signal.throwIfAborted();
  let endListening!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    // After this turn: what the source is just giving is still taken, or it would be in no report.
    const abort = (): unknown => setImmediate(() => reject(asError(signal.reason)));
    signal.addEventListener('abort', abort, { once: true });
    endListening = () => signal.removeEventListener('abort', abort);
  });
  try {
    return await Promise.race([source.next(), aborted]);
  } finally {
    endListening();
  }
}

/** It ends here for the iterable too; what it says to that concerns nobody any more. One that is silent is not waited for. */
async function endOf(
  source: AsyncIterator<unknown> | Iterator<unknown>,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const ended = Promise.resolve(source.return?.());
    ended.catch(() => undefined);
    if (signal?.aborted !== true) await ended;
  } catch {
    // The report matters, not this.
  }
}

function isIterable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Symbol.asyncIterator in value || Symbol.iterator in value;
}
