/** A message as it is kept until it is settled: encoded, with everything that the wire needs, and what its caller waits for. */
import { AsyncContext } from '../../base/async-context.js';
import { PublishAbortedError, type PublishAddress } from '../../errors/publish-errors.js';
import { joinedTables, withoutFields } from '../../wire/field-table-slices.js';
import { readFieldTable } from '../../wire/field-table-reader.js';
import { encodeFieldTable } from '../../wire/field-table-writer.js';
import { type MessageHeaders, plainHeaders } from '../../wire/message-headers.js';
import type { OutboxEntry } from './outbox.js';
import type { PublishFrame } from '../../wire/publish-frames.js';
import type { MessageProperties } from '../../wire/message-properties.js';

/**
 * Says how often a message was sent before: set when it is sent again after a lost link.
 *
 * ```ts
 * const mayBeASecondCopy = (delivery: Delivery) => delivery.redelivered || REPUBLISHED_HEADER in delivery.headers;
 * ```
 */
export const REPUBLISHED_HEADER = 'x-republished';

/**
 * What a message is for: an `event` is what `publish()` sends, `control` what the reader of an RPC stream says to its sender.
 * The others are copies of a message: for its next attempt (`retry`), for the end of its queue, so that it is counted
 * (`redelivery`), for its dead-letter queue, and back from there (`replay`).
 */
export type PublishKind = 'event' | 'request' | 'reply' | 'control' | 'retry' | 'redelivery' | 'dead-letter' | 'replay';

/** Whoever sends one of these tells what becomes of it. */
const COPIES: ReadonlySet<PublishKind> = new Set(['retry', 'redelivery', 'dead-letter', 'replay'] as const);

/** Bytes to be sent as they are. */
export interface OutgoingMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  /** `messageId` must be set. */
  readonly options: MessageProperties;
  /** Headers of another message, as they came over the wire: a table that goes before `options.headers`. */
  readonly carriedHeaders?: Buffer;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** @default 'event' */
  readonly kind?: PublishKind;
}

/** The broker sent it back: no queue is bound for it. */
interface Returned {
  readonly replyCode: number;
  readonly replyText: string;
}

/**
 * Told of each message before it is sent, in the async context of its publisher. @returns what is told once, when it is
 * settled; `undefined`: nobody wants to know. Neither may throw.
 */
export type PublishWatch = (message: Outgoing) => ((error: Error | undefined) => void) | undefined;

/** Told when a message is settled, before its caller is. */
export type Settled = (entry: Outgoing, error: Error | undefined) => void;

export class Outgoing implements OutboxEntry, PublishFrame, PublishAddress {
  readonly exchange: string;
  readonly routingKey: string;
  readonly content: Buffer;
  properties: MessageProperties;
  readonly messageId: string;
  readonly timeoutMs: number;
  bytes: number;
  isHeld = false;
  isSettled = false;
  sends = 0;
  /** How often the broker closed the channel while this was in flight alone. */
  channelCloses = 0;
  /** While it is in flight: its tag in the ledger. */
  tag: number | undefined;
  returned: Returned | undefined;
  #headerTable: Buffer | undefined;
  #publisher: AsyncContext | undefined;
  /** Told once of its end. */
  watched: ReturnType<PublishWatch>;
  readonly signal: AbortSignal | undefined;
  readonly kind: PublishKind;

  /** @throws TypeError or RangeError when a header cannot be encoded */
  constructor(
    message: OutgoingMessage,
    readonly deadline: number,
    private readonly settled: Settled,
    private resolve: () => void,
    private reject: (error: Error) => void,
  ) {
    const { options, signal } = message;
    this.exchange = message.exchange;
    this.routingKey = message.routingKey;
    this.content = message.content;
    this.properties = options;
    this.messageId = options.messageId as string;
    this.timeoutMs = message.timeoutMs;
    this.#headerTable = headerTableOf(message);
    this.bytes = message.content.length + (this.#headerTable?.length ?? 0);
    this.signal = signal;
    this.kind = message.kind ?? 'event';
  }

  get isCopy(): boolean {
    return COPIES.has(this.kind);
  }

  get wasSent(): boolean {
    return this.sends > 0;
  }

  get headerTable(): Buffer | undefined {
    if (this.sends === 0) return this.#headerTable;
    const mark = encodeFieldTable({ [REPUBLISHED_HEADER]: this.sends });
    if (this.#headerTable === undefined) return mark;
    // A message that came with the mark (a dead letter of one that was sent again) must not get it twice.
    return joinedTables(
      withoutFields(this.#headerTable, (name) => name === REPUBLISHED_HEADER),
      mark,
    );
  }

  /** The header table, read. */
  get headerValues(): MessageHeaders {
    const table = this.#headerTable;
    return plainHeaders(table && readFieldTable(table, LENGTH_BYTES, table.length));
  }

  get hasHeaders(): boolean {
    return this.#headerTable !== undefined;
  }

  /** Texts, under names that it has not yet. Before it is held for the first time. */
  addHeaders(headers: Readonly<Record<string, string>>): void {
    const added = encodeFieldTable(headers);
    this.#headerTable = this.#headerTable === undefined ? added : joinedTables(this.#headerTable, added);
    this.bytes = this.content.length + this.#headerTable.length;
  }

  /** Before it is sent for the first time. @throws TypeError or RangeError when a header cannot be encoded */
  change({ headers, properties }: Pick<MessageProperties, 'headers'> & { properties?: MessageProperties }): void {
    if (properties !== undefined) this.properties = { ...this.properties, ...properties };
    if (headers === undefined) return;
    const left = this.#headerTable && withoutFields(this.#headerTable, (name) => Object.hasOwn(headers, name));
    const set = Object.entries(headers).filter(([, value]) => value !== undefined);
    const added = set.length === 0 ? undefined : encodeFieldTable(Object.fromEntries(set));
    this.#headerTable = left === undefined || added === undefined ? (left ?? added) : joinedTables(left, added);
    this.bytes = this.content.length + (this.#headerTable?.length ?? 0);
  }

  /** Notes the async context of whoever publishes it, if that is not noted yet. */
  keepContext(): void {
    this.#publisher ??= new AsyncContext();
  }

  /** In that context; the present one is it, if none was noted. */
  asItsPublisher<T>(work: () => T): T {
    if (this.#publisher !== undefined) return this.#publisher.runInAsyncScope(work);
    this.keepContext();
    return work();
  }

  /** Its end is told to somebody else from now on. @returns who was told of it so far */
  divert(to: { resolve: () => void; reject: (error: Error) => void }): typeof to {
    const { resolve, reject } = this;
    this.resolve = to.resolve;
    this.reject = to.reject;
    return { resolve, reject };
  }

  /** The first call counts. */
  settle(error?: Error): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.settled(this, error);
    if (error === undefined) this.resolve();
    else this.reject(error);
  }

  /** Its signal fired. */
  aborted(reason: unknown): void {
    this.settle(new PublishAbortedError(this, reason, this.wasSent));
  }
}

const LENGTH_BYTES = 4;

function headerTableOf({ carriedHeaders, options }: OutgoingMessage): Buffer | undefined {
  const table = options.headers === undefined ? undefined : encodeFieldTable(options.headers);
  return carriedHeaders === undefined || table === undefined
    ? (carriedHeaders ?? table)
    : joinedTables(carriedHeaders, table);
}
