/**
 * Keeps the rights of one link alive while it lives: asks for new credentials before those it has are over, and tells the
 * broker (connection.update-secret).
 *
 * Danger: a broker may refuse the new secret, which closes the connection, or never answer, as a blocked one does not, and
 * amqplib waits for ever then. Nor can another user be told this way.
 * Choice: a time limit of our own, which ends before the old credentials do. After it, or with another user, the link is
 * discarded for a new one: publishes without a confirm go again. For another user what is in hand is finished first, as far as
 * time allows; a broker that does not answer would take no ack either, so it is delivered again.
 */
import { type Clock, type Timer, withDeadline } from '../base/clock.js';
import { asError, reasonOf } from '../errors/reasons.js';
import { CredentialsChangedError, NoCredentialsError } from '../errors/connection-errors.js';
import { NOT_ALLOWED } from '../errors/reply-codes.js';
import type { PasswordLogin } from './credentials.js';
import type { CredentialsSource } from './credentials-source.js';
import { answerTimeoutMs, askAgainDelayMs, renewalDelayMs, spareMs } from './renewal-plan.js';

/** The part of a link that renewal needs. */
export interface RenewableLink {
  readonly isUp: boolean;
  /** Resolves when the broker has taken it; when it refuses, the link is lost. */
  updateSecret(secret: string): Promise<void>;
  destroy(cause: Error): void;
}

interface RenewalHears {
  renewed(expiresAt: number | undefined): void;
  failed(cause: Error, retryInMs: number): void;
  /** The link is about to be given up: finishes what is in hand on it, within `limitMs`. */
  givingUp(cause: Error, limitMs: number): Promise<void>;
}

/** A timer counts no time in which the machine slept, and credentials end by the clock on the wall: it is asked in between. */
const LONGEST_NAP_MS = 60_000;

export class CredentialsRenewal {
  #timer: Timer | undefined;
  #isAsking = false;
  #isTelling = false;
  #isEnded = false;
  /** Ends the wait under way. */
  #stopWaiting: () => void = () => undefined;

  constructor(
    private readonly link: RenewableLink,
    private login: PasswordLogin,
    private readonly source: CredentialsSource,
    private readonly hears: RenewalHears,
    private readonly clock: Clock,
    private readonly options: { readonly timeoutMs: number; readonly random: () => number },
  ) {}

  /** Epoch ms; `undefined`: those that the link has do not end. */
  get expiresAt(): number | undefined {
    return this.login.expiresAt;
  }

  start(): void {
    const { leftMs } = this;
    if (leftMs !== undefined) this.#renewIn(renewalDelayMs(leftMs, this.options.random));
  }

  /** The link is gone, or going. */
  end(): void {
    this.#isEnded = true;
    this.#timer?.cancel();
    this.#stopWaiting();
  }

  /** Why the link was lost, if it was over the new secret: the broker closes the connection then. */
  explainLoss(cause: Error): Error {
    const code: unknown = (cause.cause as { code?: unknown } | undefined)?.code;
    if (!this.#isTelling || code !== NOT_ALLOWED) return cause;
    return new CredentialsChangedError(`the broker refused to take them on the live one: ${reasonOf(cause)}`, {
      cause,
    });
  }

  /** The broker refuses what it allowed before: asks now, if nobody does. */
  renewNow(): void {
    if (this.#isEnded || this.#isAsking) return;
    this.#timer?.cancel();
    void this.#renew();
  }

  private get leftMs(): number | undefined {
    const { expiresAt } = this.login;
    return expiresAt === undefined ? undefined : expiresAt - this.clock.wallClock();
  }

  #renewIn(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#isEnded) return;
    const dueAt = this.clock.wallClock() + delayMs;
    const nap = (leftMs: number): void => {
      this.#timer = this.clock.setTimer(
        () => {
          const stillMs = dueAt - this.clock.wallClock();
          if (stillMs > 0 && leftMs > LONGEST_NAP_MS) nap(stillMs);
          else void this.#renew();
        },
        Math.min(LONGEST_NAP_MS, leftMs),
      );
    };
    nap(delayMs);
  }

  async #renew(): Promise<void> {
    this.#isAsking = true;
    try {
      const fresh = await this.source.renew(this.#stopped(), spareMs(this.leftMs));
      if (!this.#isEnded) await this.#take(fresh);
    } catch (thrown) {
      if (!this.#isEnded) this.#failed(asError(thrown));
    } finally {
      this.#isAsking = false;
    }
  }

  async #take(fresh: PasswordLogin): Promise<void> {
    const { login } = this;
    const isOver = fresh.expiresAt !== undefined && fresh.expiresAt <= this.clock.wallClock();
    // Told to RabbitMQ 4.3 it would end the connection.
    if (isOver) throw new NoCredentialsError('those that the provider gave are over already (is a clock wrong?)');
    if (fresh.username !== login.username) return this.#changeUser();
    if (fresh.password !== login.password) {
      if (!(await this.#tellBroker(fresh.password))) return;
      this.login = fresh;
      this.hears.renewed(fresh.expiresAt);
    } else this.login = fresh;
    this.start();
  }

  async #changeUser(): Promise<void> {
    const cause = new CredentialsChangedError('the provider gave another user');
    await this.hears.givingUp(cause, answerTimeoutMs(this.leftMs, this.options.timeoutMs));
    if (!this.#isEnded) this.link.destroy(cause);
  }

  /** @returns whether the broker has taken it */
  async #tellBroker(secret: string): Promise<boolean> {
    const timeoutMs = answerTimeoutMs(this.leftMs, this.options.timeoutMs);
    const unanswered = new CredentialsChangedError(`the broker did not take the new ones within ${timeoutMs} ms`);
    this.#isTelling = true;
    try {
      const answered = this.link.updateSecret(secret);
      await withDeadline(this.clock, Promise.race([answered, this.#stopped()]), timeoutMs, () => unanswered);
    } catch (thrown) {
      if (!this.#isEnded) this.link.destroy(thrown === unanswered ? unanswered : asError(thrown));
      return false;
    } finally {
      this.#isTelling = false;
    }
    return !this.#isEnded;
  }

  /** A promise for each wait: one for all of them would remember every one of them. */
  #stopped(): Promise<void> {
    return new Promise((resolve) => (this.#stopWaiting = resolve));
  }

  #failed(cause: Error): void {
    const retryInMs = askAgainDelayMs(this.leftMs, this.options.random);
    this.hears.failed(cause, retryInMs);
    this.#renewIn(retryInMs);
  }
}
