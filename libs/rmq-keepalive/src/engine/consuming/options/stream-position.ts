/**
 * Where in a stream a subscription goes on when it is attached again.
 *
 * Duty: no message skipped, and not the whole stream again. A stream keeps its messages and no place for us, so whoever
 * consumes says where to begin, every time: at the oldest offset that is not settled, else after the newest that came.
 * What was settled beyond the oldest unsettled one comes a second time: at least once, as everything else.
 */
export type StreamStart = 'first' | 'last' | 'next' | number | Date;

/** A consumer argument as amqplib writes it: it has no date type of its own. */
type OffsetArgument = 'first' | 'last' | 'next' | number | { readonly '!': 'timestamp'; readonly value: number };

export class StreamPosition {
  #newest: number | undefined;
  /** The oldest offset that has to come again. */
  #rewindTo: number | undefined;

  constructor(private start: StreamStart) {}

  arrived(offset: number | undefined): void {
    this.#newest = offset ?? this.#newest;
  }

  /** It came and was not handled, nor will be by this consumer. */
  mustComeAgain(offset: number | undefined): void {
    if (offset !== undefined) this.#rewindTo = Math.min(offset, this.#rewindTo ?? offset);
  }

  /**
   * The stream was deleted. Another one of its name counts from 0 again, and all that is in it is new: at an offset of the
   * old one a consumer would wait, without a word, until the new one has grown to it.
   */
  streamIsGone(): void {
    this.#newest = this.#rewindTo = undefined;
    this.start = 'first';
  }

  /** The argument for a new consumer. From then on nothing is left to come again. */
  resume(): OffsetArgument {
    const { start } = this;
    const next = this.#rewindTo ?? (this.#newest === undefined ? undefined : this.#newest + 1);
    this.#rewindTo = undefined;
    // Known again at once: the consumer may be lost before it gets anything.
    if (next !== undefined) {
      this.#newest = next - 1;
      return next;
    }
    return start instanceof Date ? { '!': 'timestamp', value: Math.floor(start.getTime() / 1000) } : start;
  }
}
