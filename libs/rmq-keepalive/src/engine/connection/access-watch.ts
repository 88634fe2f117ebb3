/**
 * Notices that the broker refuses what it allowed before (403): a token is over or lost a scope, rights were taken away.
 *
 * Duty: name what is refused, ask the credentials provider for new ones, have what was refused tried again as soon as there
 * are, and know when it is over.
 * Danger: every question is a log line at the broker and a request to a token service; rights may stay away for days.
 * Choice: one question at once, then every six seconds. Consumers and declarations are tried again by their own retries, and
 * at once with new credentials. Publishes tell by themselves, and while nobody publishes the exchange is asked about. A right
 * to a routing key cannot be asked about: its refusal is dropped when the publishing link has new credentials, or a minute
 * after the last publish that was refused. The next one tells if that was too soon.
 */
import type { Clock, Timer } from '../base/clock.js';
import { PublishRefusedError } from '../errors/publish-errors.js';
import { reasonOf } from '../errors/reasons.js';
import { ACCESS_REFUSED } from '../errors/reply-codes.js';
import { type ConnectionStatus, codeOf } from '../reporting/status.js';
import { type AccessAnswer, canBeAsked, isOnlyForKey, type PublishTarget } from '../link/access-probe.js';
import type { ConnectionEvent, ConnectionEventOf } from '../reporting/events.js';

/** One thing that is refused now, and was allowed before. */
export interface AccessRefusal {
  /** `exchange "orders"`, `queue "jobs"`, `consumer "Jobs.run"` */
  readonly entity: string;
  readonly cause: Error;
}

interface AccessWatchNeeds {
  readonly clock: Clock;
  /** Consumers and declarations that are refused with 403 now, and were not before. */
  refusals(): readonly AccessRefusal[];
  /** Asks the provider, if there is one, and tells the broker; `credentials-renewed` follows when it has new ones. */
  renewCredentials(): void;
  /** Consumers and declarations that are refused are tried again now. */
  retry(): void;
  mayPublish(target: PublishTarget): Promise<AccessAnswer>;
  event(event: ConnectionEvent): void;
}

/** At most 12 questions a minute, the first one included. */
const ASK_EVERY_MS = 6_000;
/** A publish that is confirmed means that all are allowed again when none was refused for so long. */
const QUIET_MS = 1_000;
/** So long a refusal counts that cannot be asked about. */
const UNASKED_HOLDS_MS = 60_000;
/** Exchanges that publishes were confirmed to; nobody publishes to so many. */
const REMEMBERED_EXCHANGES = 1_000;

export class AccessWatch {
  /** By exchange. */
  readonly #publishes = new Map<string, { cause: PublishRefusedError; at: number }>();
  readonly #confirmed = new Set<string>();
  #lastConfirmed: string | undefined;
  #since: number | undefined;
  #timer: Timer | undefined;
  #askedAt = -Infinity;
  #isEnded = false;

  constructor(private readonly needs: AccessWatchNeeds) {}

  get status(): ConnectionStatus['accessRefused'] {
    const refusals = this.#refusals();
    if (this.#since === undefined || refusals.length === 0) return null;
    return {
      since: this.#since,
      refusals: refusals.map(({ entity, cause }) => ({ entity, code: codeOf(cause), message: reasonOf(cause) })),
    };
  }

  /** The broker has confirmed a publish to it. */
  published(exchange: string): void {
    if (exchange === this.#lastConfirmed && this.#publishes.size === 0) return;
    this.#lastConfirmed = exchange;
    if (this.#confirmed.size < REMEMBERED_EXCHANGES) this.#confirmed.add(exchange);
    const refused = this.#publishes.get(exchange);
    // One channel may still be allowed what another one is refused: the broker remembers its answers for a while.
    if (refused === undefined || this.needs.clock.now() - refused.at < QUIET_MS) return;
    this.#publishes.delete(exchange);
    this.#look();
  }

  /** Every event of the connection, after it was told. */
  hear(event: ConnectionEvent): void {
    switch (event.type) {
      case 'publish-failed':
        return this.#publishFailed(event.cause);
      case 'credentials-renewed':
      case 'recovered':
        return this.#rightsMayBeBack(event);
      case 'entity-refused':
      case 'consumer-refused':
        return this.#look();
      case 'entity-healed':
      case 'consumer-attached':
        // Of a thousand that are attached at the start none is worth a look.
        return this.#since === undefined ? undefined : this.#look();
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
  }

  #publishFailed(cause: Error): void {
    if (!(cause instanceof PublishRefusedError) || !isAccessRefused(cause)) return;
    if (!this.#confirmed.has(cause.exchange) || isOnlyForKey(cause)) return;
    this.#publishes.set(cause.exchange, { cause, at: this.needs.clock.now() });
    this.#look();
  }

  /** A run begins, goes on, or is over. */
  #look(): void {
    const [first] = this.#refusals();
    if (first === undefined) return this.#over();
    if (this.#isEnded || this.#timer !== undefined) return;
    if (this.#since === undefined) {
      this.#since = this.needs.clock.wallClock();
      this.needs.event({ type: 'access-refused', ...first });
    }
    // A provider that was asked just now is asked again later.
    const { clock } = this.needs;
    this.#askIn(Math.max(0, this.#askedAt + ASK_EVERY_MS - clock.now()));
  }

  #over(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    // A connection that closes has no refusals either, and the broker has allowed nothing.
    if (this.#since === undefined || this.#isEnded) return;
    const refusedForMs = this.needs.clock.wallClock() - this.#since;
    this.#since = undefined;
    this.needs.event({ type: 'access-restored', refusedForMs });
  }

  #askIn(delayMs: number): void {
    this.#timer = this.needs.clock.setTimer(() => {
      this.#askedAt = this.needs.clock.now();
      this.#askIn(ASK_EVERY_MS);
      this.needs.renewCredentials();
      void this.#askAboutPublishes();
    }, delayMs);
  }

  /** On that link. Its recovery has just tried everything but publishes. */
  #rightsMayBeBack({ type, role }: ConnectionEventOf<'credentials-renewed' | 'recovered'>): void {
    if (this.#since === undefined) return;
    if (role !== 'publishing' && type === 'credentials-renewed') this.needs.retry();
    if (role === 'consuming') return;
    this.#dropUnasked(0);
    void this.#askAboutPublishes();
  }

  /** Those that cannot be asked about, and are so old. */
  #dropUnasked(ageMs: number): void {
    const now = this.needs.clock.now();
    for (const [exchange, { cause, at }] of this.#publishes)
      if (!canBeAsked(cause) && now - at >= ageMs) this.#publishes.delete(exchange);
  }

  async #askAboutPublishes(): Promise<void> {
    this.#dropUnasked(UNASKED_HOLDS_MS);
    for (const [exchange, refusal] of [...this.#publishes]) {
      if (!canBeAsked(refusal.cause)) continue;
      const answer = await this.needs.mayPublish(refusal.cause);
      // Refused again meanwhile: that is the later word.
      if (answer === 'allowed' && this.#publishes.get(exchange) === refusal) this.#publishes.delete(exchange);
    }
    this.#look();
  }

  #refusals(): AccessRefusal[] {
    const publishes = [...this.#publishes].map(([exchange, { cause }]) => ({
      entity: exchange === '' ? 'the default exchange' : `exchange "${exchange}"`,
      cause,
    }));
    return [...publishes, ...this.needs.refusals()];
  }
}

/** Whether the broker said 403 over a right: the error underneath tells. A queue that somebody else has for himself is 403, too. */
export function isAccessRefused(error: Error): boolean {
  const { code, message } = (error.cause ?? {}) as { code?: unknown; message?: unknown };
  return code === ACCESS_REFUSED && !/in exclusive use/.test(String(message));
}
