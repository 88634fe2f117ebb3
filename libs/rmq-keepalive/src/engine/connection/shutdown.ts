/** The one closing of a connection: begun by the first who wants it (close(), abort(), or a connection that gives up). */
import { ConnectionClosedError } from '../errors/connection-errors.js';
import type { DrainReport } from '../reporting/events.js';
import { Closing, type ClosingNeeds } from './closing.js';

interface ShutdownNeeds {
  /** What there is to be closed; asked for once, when it begins. */
  closingNeeds(): ClosingNeeds;
  /** Called before the first event of the closing. */
  begins(): void;
  readonly drainTimeoutMs: number;
}

export class Shutdown {
  #closing: Closing | undefined;
  #gaveUp: Error | undefined;

  constructor(private readonly needs: ShutdownNeeds) {}

  get hasBegun(): boolean {
    return this.#closing !== undefined;
  }

  /** Why the connection gave up, if it did. */
  get gaveUpBecause(): Error | undefined {
    return this.#gaveUp;
  }

  /** Whether a link that was not needed so far may still be dialled. */
  get mayDial(): boolean {
    return this.#closing?.mayDialToPublish !== false;
  }

  /** @throws {@link ConnectionClosedError} once it has begun: `nothing can be published`, for example */
  refuse(consequence?: string): void {
    if (!this.hasBegun) return;
    throw new ConnectionClosedError(consequence && `The connection is closed: ${consequence} any more`);
  }

  /** Begins it, or makes one that is under way as short as that. */
  close(drainTimeoutMs: number | undefined): Promise<DrainReport> {
    if (this.#closing === undefined) return this.#begin(drainTimeoutMs ?? this.needs.drainTimeoutMs).report;
    if (drainTimeoutMs !== undefined) this.#closing.shorten(drainTimeoutMs);
    return this.#closing.report;
  }

  /** Ends everything at once, also in the middle of {@link close}. */
  abort(): Promise<DrainReport> {
    const closing = this.#closing ?? this.#begin(0);
    closing.abort();
    return closing.report;
  }

  /** The start has failed for good: ends at once, unless it is ending already. */
  giveUpStarting(cause: Error): Promise<DrainReport> {
    return (this.#closing ?? this.#begin(0, cause)).report;
  }

  /** A link has made its last attempt. */
  gaveUp(cause: Error): void {
    this.#gaveUp = cause;
    if (!this.hasBegun) this.#begin(this.needs.drainTimeoutMs, cause);
  }

  /** An attempt to dial has failed; a closing makes only one. */
  attemptFailed(): void {
    this.#closing?.cannotDial();
  }

  #begin(drainTimeoutMs: number, cause?: Error): Closing {
    const closing = new Closing(this.needs.closingNeeds(), drainTimeoutMs);
    // Known before the first event of it: a listener that hears of the closing may call close() itself.
    this.#closing = closing;
    this.needs.begins();
    closing.begin(cause);
    return closing;
  }
}
