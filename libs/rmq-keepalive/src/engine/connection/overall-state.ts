/**
 * The state of a connection that needs several links: that of the link furthest from `open`, moved along the same table,
 * so that an illegal sum is reported.
 */
import { BehaviorSubject, defer, first, firstValueFrom, NEVER, type Observable, of, takeUntil } from 'rxjs';
import type { Clock } from '../base/clock.js';
import { tookStep } from '../base/steps.js';
import {
  type ConnectionState,
  type LinkRole,
  nextState,
  type StateName,
  weakestState,
} from '../reporting/lifecycle.js';

/** The part of a link that is summed up. */
interface StatefulLink {
  readonly role: LinkRole;
  readonly state: ConnectionState;
}

export class OverallState {
  readonly #state$ = new BehaviorSubject<ConnectionState>({ name: 'idle' });
  /** A further link counts from its first outcome on: dialling it for the first time takes nothing away. */
  readonly #counting = new Set<StatefulLink>();
  #since: number;
  #downSince: number | null;
  #hasBeenOpen = false;
  #hasEnded = false;

  constructor(
    private readonly clock: Clock,
    private readonly changed: (from: ConnectionState, to: ConnectionState) => void,
    private readonly illegal: (error: Error) => void,
  ) {
    this.#since = clock.wallClock();
    this.#downSince = this.#since;
  }

  get value(): ConnectionState {
    return this.#state$.value;
  }

  /** Now and after every change; a late subscriber gets the last one. */
  get value$(): Observable<ConnectionState> {
    return defer(() => (this.#hasEnded ? of(this.value) : this.#state$));
  }

  /** Epoch ms of the last change of the state's name. */
  get since(): number {
    return this.#since;
  }

  /** Epoch ms since which it is not open; null while it is. */
  get downSince(): number | null {
    return this.#downSince;
  }

  get hasBeenOpen(): boolean {
    return this.#hasBeenOpen;
  }

  /** The first link that is started counts at once. */
  linkStarts(link: StatefulLink): void {
    if (this.#counting.size === 0) this.#counting.add(link);
  }

  /** One of `links`, `link`, has changed its state: makes the connection's own step along the table. */
  sumUp(link: StatefulLink, links: readonly StatefulLink[]): void {
    if (link.state.name === 'open' || link.state.name === 'backing-off') this.#counting.add(link);
    const next = this.#sumOf(links.map(({ state }) => state));
    const from = this.value;
    if (next === undefined || (next.name === 'open' && this.#awaitsConsumers(links))) return;
    if (next.name === from.name) {
      if (carriesNews(next.name)) this.#state$.next(next);
      return;
    }
    this.#moveTo(next);
    tookStep('a connection', nextState, [from, next], this.illegal);
  }

  /** Resolves with the state when it is open or never to be; with undefined when `over` comes first. */
  untilSettled(over: Observable<unknown> = NEVER): Promise<ConnectionState | undefined> {
    return firstValueFrom(this.value$.pipe(first(isSettled), takeUntil(over)), { defaultValue: undefined });
  }

  end(): void {
    this.#hasEnded = true;
    this.#state$.complete();
  }

  #sumOf(states: readonly ConnectionState[]): ConnectionState | undefined {
    if (states.every(({ name }) => name === 'closed')) {
      return states.find((state) => state.name === 'closed' && state.cause !== undefined) ?? { name: 'closed' };
    }
    if (states.some(({ name }) => name === 'closing' || name === 'closed')) return { name: 'closing' };
    return weakestState([...this.#counting].map(({ state }) => state));
  }

  /** The link of the consumers is dialled for the first time: without its outcome nobody calls the connection open. */
  #awaitsConsumers(links: readonly StatefulLink[]): boolean {
    return links.some((link) => link.role === 'consuming' && link.state.name !== 'idle' && !this.#counting.has(link));
  }

  #moveTo(next: ConnectionState): void {
    const from = this.value;
    this.#since = this.clock.wallClock();
    const to: ConnectionState = next.name === 'open' ? { name: 'open', since: this.#since } : next;
    if (to.name === 'open') {
      this.#downSince = null;
      this.#hasBeenOpen = true;
    } else this.#downSince ??= this.#since;
    this.#state$.next(to);
    this.changed(from, to);
  }
}

/** States of one name that differ in what they carry: another attempt, another cause. */
const carriesNews = (name: StateName): boolean => name === 'backing-off' || name === 'connecting';

function isSettled({ name }: ConnectionState): boolean {
  return name === 'open' || name === 'closing' || name === 'closed';
}
