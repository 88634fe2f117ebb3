/**
 * Finds the message that makes the broker close the channel, or the link, and refuses it.
 *
 * Danger: the broker does not say which message it was, and all that were in flight with it suffer.
 * Choice: what was in flight goes again, one at a time. One that was alone in flight when the channel
 * closed is guilty. It gets a second chance, after the exchanges were declared again; then it is refused.
 */
import { PublishRefusedError } from '../../errors/publish-errors.js';
import { ACCESS_REFUSED } from '../../errors/reply-codes.js';
import type { Outgoing } from './outgoing-message.js';

const MAX_CHANNEL_CLOSES = 2;

export class CulpritSearch {
  /** Those that it may have been. */
  readonly #candidates = new Set<Outgoing>();

  /** @param unsent everything that is not in flight */
  constructor(private readonly unsent: () => Iterable<Outgoing>) {}

  /** While true, one message at a time may be in flight. */
  get isUnderWay(): boolean {
    return this.#candidates.size > 0;
  }

  /** The broker closed the channel with these in flight: those that are guilty beyond doubt are refused. */
  channelClosedOver(inFlight: readonly Outgoing[], cause: Error): void {
    for (const guilty of this.#guiltyOf(inFlight)) {
      guilty.settle(new PublishRefusedError(guilty, cause));
      if (codeOf(cause) === ACCESS_REFUSED) this.#refuseAllTo(guilty, cause);
    }
  }

  /** The link was lost with these in flight: over one of them, or for reasons of its own. */
  linkLostOver(inFlight: readonly Outgoing[], cause: Error): void {
    if (isOverOurFrames(cause)) this.channelClosedOver(inFlight, cause);
    else this.#candidates.clear();
  }

  /** It was confirmed, refused, or given up. */
  isDone(entry: Outgoing): void {
    if (this.#candidates.size > 0) this.#candidates.delete(entry);
  }

  #guiltyOf(inFlight: readonly Outgoing[]): Outgoing[] {
    const areAlone = inFlight.length === 1 || this.isUnderWay;
    const guilty: Outgoing[] = [];
    for (const entry of inFlight) {
      if (areAlone) entry.channelCloses += 1;
      if (entry.channelCloses >= MAX_CHANNEL_CLOSES) guilty.push(entry);
      else this.#candidates.add(entry);
    }
    return guilty;
  }

  /** The right to write hangs on the address alone: a thousand messages to the same one cost three channels, not two thousand. */
  #refuseAllTo({ exchange, routingKey }: Outgoing, cause: Error): void {
    for (const entry of [...this.unsent()])
      if (entry.exchange === exchange && entry.routingKey === routingKey)
        entry.settle(new PublishRefusedError(entry, cause));
  }
}

/** The broker ended the whole connection over something that we sent (frame, syntax, command, not allowed, internal error). */
function isOverOurFrames(cause: Error): boolean {
  const code = codeOf(cause.cause);
  return code !== undefined && [501, 502, 503, 504, 505, 541].includes(code);
}

function codeOf(cause: unknown): number | undefined {
  const code: unknown = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}
