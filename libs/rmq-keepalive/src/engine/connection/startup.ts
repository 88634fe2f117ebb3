/** Waits for the first opening: `start()` by its policy, and `whenOpen()`. */
import { first, firstValueFrom, type Observable, ReplaySubject } from 'rxjs';
import type { Clock } from '../base/clock.js';
import { ConnectionClosedError, GaveUpError, NotOpenError } from '../errors/connection-errors.js';
import { lessonOrFailure } from '../link/channel-limit.js';
import type { ResolvedConnectionOptions } from './connection-options.js';
import type { EventBus } from '../reporting/event-bus.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';
import type { LinkRole } from '../reporting/lifecycle.js';
import type { OverallState } from './overall-state.js';

interface StartupNeeds {
  readonly name: string;
  readonly clock: Clock;
  readonly state: OverallState;
  readonly events: EventBus;
  /** A link has changed its state. */
  readonly linkChanged: Observable<void>;
  /** The last failed attempt, or the loss, of a link that is not open. */
  awayBecause(): Error | undefined;
  /** Why the connection gave up, if it did. */
  gaveUpBecause(): Error | undefined;
  /** Wanted consumers of which the broker has said nothing so far. */
  undecided(): readonly Undecided[];
  /** Ends the connection, unless it is ending already; resolves when it is closed. */
  giveUp(cause: Error): Promise<unknown>;
}

interface Undecided {
  readonly name: string;
  /** Settles when there is an answer. */
  readonly ready: Promise<void>;
}

export class Startup {
  constructor(private readonly needs: StartupNeeds) {}

  /**
   * Waits for `link` as the policy wants it.
   * @throws {@link GaveUpError} `fail-fast`, and every address failed once
   */
  async untilStarted(keeper: LinkKeeper, policy: ResolvedConnectionOptions['startup']): Promise<void> {
    if (policy === 'background') return;
    // Of this very link: the other one may be open already, for a publish that came earlier.
    const opened = this.#untilLinkOpens(keeper);
    await (policy === 'wait' ? opened : this.#openOrGiveUp(keeper, opened));
  }

  /** @throws {@link NotOpenError} after `timeoutMs`; {@link ConnectionClosedError} or {@link GaveUpError} when it never will be */
  async whenOpen(timeoutMs: number | undefined): Promise<void> {
    const { name, clock, state } = this.needs;
    const isOver = new ReplaySubject<void>(1);
    const timer = timeoutMs === undefined ? undefined : clock.setTimer(() => isOver.next(), timeoutMs);
    const outcome = await this.#untilServing(isOver);
    timer?.cancel();
    if (outcome === 'open') return;
    if (outcome !== 'over') throw this.#closedTooEarly();
    const waitsFor = state.value.name === 'open' ? this.needs.undecided().map((one) => one.name) : [];
    const cause = this.needs.awayBecause();
    throw new NotOpenError(name, timeoutMs ?? 0, { state: state.value.name, waitsFor, cause });
  }

  /** Open, and each consumer that is wanted then is attached or named: also those that were wanted while it was open. */
  async #untilServing(isOver: Observable<void>): Promise<'open' | 'over' | 'closed'> {
    const { state } = this.needs;
    const over = firstValueFrom(isOver, { defaultValue: undefined });
    for (;;) {
      const settled = await state.untilSettled(isOver);
      if (settled === undefined) return 'over';
      if (settled.name !== 'open') return 'closed';
      const waiting = this.needs.undecided();
      if (waiting.length === 0) return 'open';
      const answer = Promise.race(waiting.map(({ ready }) => ready)).catch(() => undefined);
      const isTimeOver = await Promise.race([answer.then(() => false), over.then(() => true)]);
      if (isTimeOver) return 'over';
    }
  }

  /** Rejects when it never will. */
  async #untilLinkOpens(keeper: LinkKeeper): Promise<void> {
    const isSettled = (): boolean => ['open', 'closing', 'closed'].includes(keeper.state.name);
    if (!isSettled()) await firstValueFrom(this.needs.linkChanged.pipe(first(isSettled)));
    if (keeper.state.name !== 'open') throw this.#closedTooEarly();
  }

  async #openOrGiveUp(keeper: LinkKeeper, opened: Promise<void>): Promise<void> {
    const { events } = this.needs;
    let failed = 0;
    let endListening: (() => void)[] = [];
    const spent = new Promise<never>((_, reject) => {
      const countFailure = (role: LinkRole, cause: Error): void => {
        if (role !== keeper.role) return;
        failed += 1;
        // Asked now: an address provider has answered by now.
        if (failed >= Math.max(1, keeper.addressCount)) reject(new GaveUpError(failed, cause));
      };
      const kindOf = lessonOrFailure();
      // A broker that lets us in and loses us before we are open has failed as well.
      endListening = [
        events.on('attempt-failed', ({ role, cause }) => countFailure(role, cause)),
        events.on('link-lost', ({ role, cause }) => void (kindOf(cause) === 'failure' && countFailure(role, cause))),
      ];
    });
    try {
      await Promise.race([opened, spent]);
    } catch (thrown) {
      await this.needs.giveUp(thrown as Error);
      throw thrown;
    } finally {
      for (const end of endListening) end();
    }
  }

  /** With the reason, if we gave up. */
  #closedTooEarly(): Error {
    const { name } = this.needs;
    return this.needs.gaveUpBecause() ?? new ConnectionClosedError(`Connection "${name}" was closed before it opened`);
  }
}
