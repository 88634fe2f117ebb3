/** Waits for the first opening: `start()` by its policy, and `whenOpen()`. */
import { first, firstValueFrom, type Observable, Subject } from 'rxjs';
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
  /** Ends the connection, unless it is ending already; resolves when it is closed. */
  giveUp(cause: Error): Promise<unknown>;
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
    const isOver = new Subject<void>();
    const timer = timeoutMs === undefined ? undefined : clock.setTimer(() => isOver.next(), timeoutMs);
    const settled = await state.untilSettled(isOver);
    timer?.cancel();
    if (settled?.name === 'open') return;
    if (settled !== undefined) throw this.#closedTooEarly();
    throw new NotOpenError(name, timeoutMs ?? 0, state.value.name, this.needs.awayBecause());
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
