/**
 * Finds the message that makes the broker close the channel, or the link.
 *
 * Danger: the broker does not say which message it was, and all that were in flight with it suffer.
 * Choice: what was in flight goes again, one at a time. One that was alone in flight when the channel
 * closed is guilty. It gets a second chance, after the exchanges were declared again; then it is refused.
 */
const MAX_CHANNEL_CLOSES = 2;

export interface Searched {
  /** How often the channel closed while this one was in flight alone. */
  channelCloses: number;
}

export class CulpritSearch<E extends Searched> {
  /** Those that it may have been. */
  readonly #candidates = new Set<E>();

  /** While true, one message at a time may be in flight. */
  get isUnderWay(): boolean {
    return this.#candidates.size > 0;
  }

  /** The broker closed the channel with these in flight. @returns those that are guilty beyond doubt */
  channelClosedOver(inFlight: readonly E[]): E[] {
    const areAlone = inFlight.length === 1 || this.isUnderWay;
    const guilty: E[] = [];
    for (const entry of inFlight) {
      if (areAlone) entry.channelCloses += 1;
      if (entry.channelCloses >= MAX_CHANNEL_CLOSES) guilty.push(entry);
      else this.#candidates.add(entry);
    }
    return guilty;
  }

  /** It was confirmed, refused, or given up. */
  isDone(entry: E): void {
    if (this.#candidates.size > 0) this.#candidates.delete(entry);
  }

  /** The link was lost for reasons of its own. */
  clear(): void {
    this.#candidates.clear();
  }
}
