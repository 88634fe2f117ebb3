/**
 * An outbox sender with something around each message.
 *
 * Duty: every message is settled, also one whose around never calls `send`, or never returns: by its time limit, its signal
 * or its caller. And what the broker did not confirm is never taken for confirmed, whatever the around makes of it.
 * Choice: a class of its own, so that without an around nothing is asked, and nothing made, for any message.
 */
import { AbortWatch } from '../../base/abort-watch.js';
import type { Clock, Timer } from '../../base/clock.js';
import { asError } from '../../errors/reasons.js';
import { PublishAbortedError, PublishAroundError, PublishTimeoutError } from '../../errors/publish-errors.js';
import { type AroundPublish, checkChange, once, type OutgoingPublish, type PublishChange } from './around.js';
import type { MessageProperties } from '../../wire/message-properties.js';
import type { Outgoing } from '../sending/outgoing-message.js';
import { OutboxSender } from '../sending/outbox-sender.js';
import type { OutboxSenderNeeds, OutboxSenderOptions } from '../sending/sender-needs.js';

export class SurroundedSender extends OutboxSender {
  /** Of what was not sent yet. */
  readonly #waiting = new AbortWatch();

  constructor(
    options: OutboxSenderOptions,
    private readonly told: OutboxSenderNeeds,
    private readonly time: Clock,
    private readonly around: AroundPublish,
  ) {
    super(options, told, time);
  }

  override send(entry: Outgoing): void {
    if (this.isOver) return super.send(entry);
    void this.#surrounded(entry);
  }

  /** Does not reject. */
  async #surrounded(entry: Outgoing): Promise<void> {
    const passage = new Passage(entry, (message) => super.send(message));
    const endWait = this.#limitWait(passage);
    let failure: { readonly thrown: unknown } | undefined;
    try {
      await this.around(
        viewOf(entry),
        once((change) => {
          endWait();
          return passage.send(change);
        }),
      );
    } catch (thrown) {
      failure = { thrown };
    }
    endWait();
    passage.returned(failure, (error) => {
      this.counters.publishFailed += 1;
      this.told.failed(error);
    });
  }

  /** As the outbox does for what it holds. @returns what ends that */
  #limitWait(passage: Passage): () => void {
    const { entry } = passage;
    const { signal, deadline } = entry;
    let timer: Timer | undefined;
    let isOver = false;
    if (signal !== undefined) this.#waiting.add(signal, entry);
    // Most call `send` at once: no timer is made for them.
    queueMicrotask(() => {
      if (isOver || deadline === Infinity) return;
      const late = (): void => entry.settle(new PublishTimeoutError(entry, entry.timeoutMs, false));
      timer = this.time.setTimer(late, Math.max(0, deadline - this.time.now()), 'background');
    });
    return () => {
      isOver = true;
      timer?.cancel();
      if (signal !== undefined) this.#waiting.remove(signal, entry);
    };
  }
}

/** One message on its way through what is around it. Its caller hears of a failure at once, and of a success last. */
class Passage {
  #isSent = false;
  readonly #caller: ReturnType<Outgoing['divert']>;
  readonly #settled: Promise<void>;

  constructor(
    readonly entry: Outgoing,
    private readonly toOutbox: (entry: Outgoing) => void,
  ) {
    let end!: Parameters<Outgoing['divert']>[0];
    this.#settled = new Promise<void>((resolve, reject) => (end = { resolve, reject }));
    this.#caller = entry.divert(end);
    this.#settled.catch((error: Error) => this.#caller.reject(error));
  }

  send(change: PublishChange | undefined): Promise<void> {
    const { entry } = this;
    this.#isSent = true;
    if (entry.isSettled) return this.#settled;
    if (entry.signal?.aborted === true) entry.settle(new PublishAbortedError(entry, entry.signal.reason, false));
    else if (this.#isChanged(change)) this.toOutbox(entry);
    return this.#settled;
  }

  returned(failure: { readonly thrown: unknown } | undefined, report: (error: Error) => void): void {
    const { entry } = this;
    if (!this.#isSent) {
      const why = failure?.thrown ?? new Error('it returned without having called send()');
      return entry.settle(new PublishAroundError(entry, why, 'not-sent'));
    }
    // A failure of the publish itself was told already.
    this.#settled.then(
      () => {
        if (failure === undefined) return this.#caller.resolve();
        const error = new PublishAroundError(entry, failure.thrown, 'confirmed');
        report(error);
        return this.#caller.reject(error);
      },
      () => undefined,
    );
  }

  #isChanged(change: PublishChange | undefined): boolean {
    if (change === undefined) return true;
    try {
      checkChange(change, this.entry.kind);
      this.entry.change(change);
      return true;
    } catch (thrown) {
      this.entry.settle(new PublishAroundError(this.entry, asError(thrown), 'not-sent'));
      return false;
    }
  }
}

function viewOf(entry: Outgoing): OutgoingPublish {
  const { kind, exchange, routingKey, messageId, content } = entry;
  return {
    kind,
    exchange,
    routingKey,
    messageId,
    bytes: content.length,
    body: content,
    get headers() {
      return entry.headerValues;
    },
    get properties() {
      return withoutHeaders(entry.properties);
    },
  };
}

/** By name: those of a request are asked for when it goes out. */
function withoutHeaders(properties: MessageProperties): OutgoingPublish['properties'] {
  const { mandatory, persistent, messageId, contentType, contentEncoding, correlationId, replyTo } = properties;
  const { expiration, priority, timestamp, type, userId, appId } = properties;
  const first = { mandatory, persistent, messageId, contentType, contentEncoding, correlationId, replyTo };
  return Object.freeze({ ...first, expiration, priority, timestamp, type, userId, appId });
}
