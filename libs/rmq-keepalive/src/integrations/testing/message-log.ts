/** What went out and what was handled, as the library's own `around` sees it: the same with every broker. */
import type { RmqAround } from '../../engine/around/rmq-around.js';
import type { Codec } from '../../engine/codec/codec.js';
import type { Delivery } from '../../engine/consuming/delivery/delivery.js';
import type { ConnectionEvent } from '../../engine/reporting/events.js';
import type { MessageHeaders } from '../../engine/wire/message-headers.js';

/** A message that the module under test has published, and that the broker has confirmed. */
export interface PublishedMessage<Payload = unknown> {
  readonly exchange: string;
  readonly routingKey: string;
  /** Read back from the body that went out. */
  readonly payload: Payload;
  readonly messageId: string;
  /** As they went out. */
  readonly headers: MessageHeaders;
  /** The connection's name. */
  readonly connection: string;
}

/** One call of a handler of the module under test; each delivery of a batch has its own. */
export interface HandledMessage<Payload = unknown> {
  /** The subscription's name. */
  readonly subscription: string;
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  /** As the connection's codec reads it, before a schema or a pipe; `undefined` where a subscription's own codec reads it. */
  readonly payload: Payload;
  readonly messageId: string | undefined;
  readonly headers: MessageHeaders;
  /** From 1; more when the message failed before. */
  readonly attempt: number;
  readonly redelivered: boolean;
  /** What the handler made of it. */
  readonly outcome: { readonly returned: unknown } | { readonly thrown: unknown };
  /** The connection's name. */
  readonly connection: string;
}

interface WaitingRetry {
  readonly key: string;
  /** As `performance.now()`. */
  readonly dueAt: number;
}

export class MessageLog {
  readonly published: PublishedMessage[] = [];
  readonly handled: HandledMessage[] = [];
  readonly deadLetterQueues = new Set<string>();
  #running = 0;
  #waitingRetries: WaitingRetry[] = [];

  /** Publishes and handlers that have begun and not ended. */
  get running(): number {
    return this.#running;
  }

  /** For a connection: sees what its handlers make of each delivery, and each message as it goes out. */
  aroundOf(connection: string, codec: Codec): Required<RmqAround> {
    return {
      publish: (message, send) =>
        this.#during(async () => {
          await send();
          if (message.kind !== 'event') return;
          const { exchange, routingKey, messageId, headers, properties, body } = message;
          const payload = read(codec, body, { ...properties, headers });
          this.published.push({ exchange, routingKey, payload, messageId, headers, connection });
        }),
      deliver: (delivery, handle, batch) =>
        this.#during(async () => {
          const deliveries = batch?.deliveries ?? [delivery];
          for (const each of deliveries) this.#arrived(each);
          try {
            const returned = await handle();
            this.#note(deliveries, { returned }, connection, codec);
            return returned;
          } catch (thrown) {
            this.#note(deliveries, { thrown }, connection, codec);
            throw thrown;
          }
        }),
    };
  }

  hear(event: ConnectionEvent): void {
    if (event.type === 'delivery-dead-lettered') this.deadLetterQueues.add(event.deadLetterQueue);
    if (event.type === 'delivery-retried')
      this.#waitingRetries.push({ key: keyOf(event), dueAt: performance.now() + event.delayMs });
  }

  /** Whether a delivery that was to come again by now has not. */
  get isRetryOverdue(): boolean {
    const now = performance.now();
    return this.#waitingRetries.some(({ dueAt }) => dueAt <= now);
  }

  clear(): void {
    this.published.length = 0;
    this.handled.length = 0;
  }

  async #during<T>(work: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }

  #arrived(delivery: Delivery): void {
    const at = this.#waitingRetries.findIndex(({ key }) => key === keyOf(delivery));
    if (at >= 0) this.#waitingRetries.splice(at, 1);
  }

  #note(deliveries: readonly Delivery[], outcome: HandledMessage['outcome'], connection: string, codec: Codec): void {
    for (const delivery of deliveries) {
      const { subscription, queue, exchange, routingKey, messageId, headers, attempt, redelivered } = delivery;
      const payload = read(codec, delivery.body, delivery.properties);
      const facts = { subscription, queue, exchange, routingKey, payload, messageId, headers, attempt, redelivered };
      this.handled.push({ ...facts, outcome, connection });
    }
  }
}

function keyOf({ subscription, messageId, attempt }: Pick<Delivery, 'subscription' | 'messageId' | 'attempt'>): string {
  return JSON.stringify([subscription, messageId, attempt]);
}

/** `undefined`: it cannot be read, and no handler got it as a payload. */
function read(codec: Codec, body: Buffer, properties: Parameters<Codec['decode']>[1]): unknown {
  try {
    return codec.decode(body, properties);
  } catch {
    return undefined;
  }
}
