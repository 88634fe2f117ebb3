/**
 * Sends replies: without confirms, those of one turn of the event loop in one write.
 *
 * A reply is worth little by itself: the caller waits for it or has gone, and asks again. So it is told to whoever sends it
 * when it was handed to the socket; then the request may be acked.
 */
import type { MessageProperties } from '../../wire/message-properties.js';
import type { Calls } from '../calling/calls.js';

/** Who asked. */
export interface Caller {
  /** Allowed by {@link ReplyAddresses}: nobody checks it again here. */
  readonly replyTo: string;
  readonly correlationId: string | undefined;
}

interface RepliesStatus {
  readonly sent: number;
  /** Not within the time that the link has to come back, or because AMQP cannot carry them. */
  readonly failed: number;
}

/** How long a reply waits for the link, unless its caller is known to wait less. */
const DEFAULT_TIMEOUT_MS = 30_000;

export class Replies {
  #sent = 0;
  #failed = 0;

  constructor(readonly calls: Calls) {}

  get status(): RepliesStatus {
    return { sent: this.#sent, failed: this.#failed };
  }

  /** `written` is called once; without an error when the reply was handed to the socket. Does not throw. */
  send(
    caller: Caller,
    reply: { readonly content: Buffer; readonly properties: MessageProperties; readonly timeoutMs?: number },
    written: (error?: Error) => void,
  ): void {
    const { content, properties, timeoutMs = DEFAULT_TIMEOUT_MS } = reply;
    const { replyTo: routingKey, correlationId } = caller;
    const message = {
      kind: 'reply' as const,
      exchange: '',
      routingKey,
      content,
      timeoutMs,
      properties: { correlationId, ...properties },
    };
    this.calls.post(message, (error) => {
      if (error === undefined) this.#sent += 1;
      else this.#failed += 1;
      written(error);
    });
  }
}
