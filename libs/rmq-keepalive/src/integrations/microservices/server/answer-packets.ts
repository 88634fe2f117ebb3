/**
 * The answer to one request as packets: the values that the handler's Observable emits, and exactly one end.
 *
 * As on Nest's wire, the end travels with the last packet when both come in one turn. An Observable cannot be told to wait,
 * so what it emits faster than the broker takes it is held here, up to a bound; beyond, it is ended with an error. So it is
 * when one of its values cannot be sent: a caller to whom it is missing must not take the rest for all of it.
 */
import type { WritePacket } from '@nestjs/microservices';
import type { Observable, Subscription } from 'rxjs';
import { Fifo } from '../../../engine/base/fifo.js';

const MAX_HELD = 10_000;

/** `failed`: the caller was told of an error. `abandoned`: nobody waits any more, nor was told. */
export type AnswerOutcome = 'done' | 'failed' | 'abandoned';

/** `replaced`: it cannot be sent, and the caller was told of an error in its place, which is the end. */
export type PacketFate = 'sent' | 'replaced';

export class AnswerPackets {
  readonly #held = new Fifo<WritePacket>();
  #last: WritePacket | undefined;
  #source: Subscription | undefined;
  #isSending = false;
  #isEnded = false;
  #outcome: AnswerOutcome = 'done';
  #settle!: (outcome: AnswerOutcome) => void;
  /** Settles when the end has been sent. */
  readonly settled = new Promise<AnswerOutcome>((resolve) => (this.#settle = resolve));

  /** @param send must not reject */
  constructor(private readonly send: (packet: WritePacket) => Promise<PacketFate>) {}

  answer(response$: Observable<unknown>): void {
    const source = response$.subscribe({
      next: (response) => this.#emitted(response),
      error: (err: unknown) => this.fail(err),
      complete: () => this.#end({ isDisposed: true }),
    });
    this.#source = source;
    if (this.#isEnded) source.unsubscribe();
  }

  /** A single value, which is the end too. */
  answerOnce(response: unknown): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#hold({ response, isDisposed: true });
  }

  /** Ends it with an error for the caller. */
  fail(err: unknown): void {
    if (this.#isEnded) return;
    this.#outcome = 'failed';
    this.#end({ err, isDisposed: true });
  }

  /** Ends it without a word: the request is somebody else's by now. */
  end(): void {
    if (!this.#isEnded) this.#stop('abandoned');
  }

  #stop(outcome: AnswerOutcome): void {
    this.#isEnded = true;
    this.#source?.unsubscribe();
    this.#held.takeAll();
    this.#settle(outcome);
  }

  #emitted(response: unknown): void {
    if (this.#isEnded) return;
    if (this.#held.size >= MAX_HELD)
      return this.fail({ status: 'error', message: `More than ${MAX_HELD} values wait to be sent` });
    this.#hold({ response });
  }

  #end(packet: WritePacket): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#source?.unsubscribe();
    if (this.#last !== undefined && packet.err === undefined) this.#last.isDisposed = true;
    else this.#hold(packet);
  }

  #hold(packet: WritePacket): void {
    this.#held.push(packet);
    this.#last = packet;
    if (this.#isSending) return;
    this.#isSending = true;
    process.nextTick(() => void this.#sendHeld());
  }

  async #sendHeld(): Promise<void> {
    for (let packet = this.#held.shift(); packet !== undefined; packet = this.#held.shift()) {
      if (packet === this.#last) this.#last = undefined;
      if ((await this.send(packet)) === 'replaced') return this.#stop('failed');
      if (packet.isDisposed === true) this.#settle(this.#outcome);
    }
    this.#isSending = false;
  }
}
