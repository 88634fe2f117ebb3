/**
 * The lifecycle of a connection: the states, what each carries, and which may follow which. One table, executed by
 * `nextState`, drawn into docs/reference/lifecycle.md, and walked by every link and by the connection that sums them up.
 *
 * *Blocked* (the broker's resource alarm) is not a state: it is a flag beside the state, as in the protocol.
 */
import { allowedStep } from '../base/steps.js';

/**
 * Where a connection stands in its lifecycle, with what that state carries. `attempt` counts from 1; `since` and `retryAt` are
 * epoch milliseconds.
 *
 * ```ts
 * connection.state$.subscribe((state: ConnectionState) => {
 *   if (state.name === 'backing-off') logger.log(`next attempt at ${new Date(state.retryAt).toISOString()}`);
 * });
 * ```
 */
export type ConnectionState =
  | { readonly name: 'idle' }
  | { readonly name: 'connecting'; readonly attempt: number }
  | { readonly name: 'recovering'; readonly attempt: number }
  | { readonly name: 'open'; readonly since: number }
  | { readonly name: 'backing-off'; readonly attempt: number; readonly retryAt: number; readonly cause: Error }
  | { readonly name: 'closing' }
  | { readonly name: 'closed'; readonly cause?: Error };

export type StateName = ConnectionState['name'];

export const NEXT_STATES = {
  idle: ['connecting', 'closing'],
  connecting: ['recovering', 'backing-off', 'closing'],
  recovering: ['open', 'backing-off', 'closing'],
  open: ['backing-off', 'closing'],
  'backing-off': ['connecting', 'closing'],
  closing: ['closed'],
  closed: [],
} as const satisfies Record<StateName, readonly StateName[]>;

/** One sentence a state; docs/reference/lifecycle.md prints them. `attempt` counts from 1; `since` and `retryAt` are epoch milliseconds. */
export const STATE_MEANINGS: Record<StateName, string> = {
  idle: 'Nothing was asked for yet: no link is dialled before it is needed.',
  connecting: 'An attempt is under way: address asked, TCP, TLS, AMQP handshake, all within one deadline.',
  recovering:
    'The link is up; exchanges, queues and bindings are declared, then consumers attached, then unconfirmed messages sent again.',
  open: 'The link is up, the topology declared, and every consumer that was wanted by then attached or named in the recovery report.',
  'backing-off': 'No link; the next attempt starts at `retryAt`. `cause` says why the last one ended.',
  closing: 'close() was called: consumers are cancelled, handlers drained, confirms flushed, each within a deadline.',
  closed: 'The end. Every socket is destroyed and every timer gone. `cause` is set when we gave up (`maxAttempts`).',
};

/** Returns `to` if the table allows the step. @throws {@link IllegalStateError} */
export function nextState(from: ConnectionState, to: ConnectionState, owner = 'a connection'): ConnectionState {
  return allowedStep(NEXT_STATES, owner, from, to);
}

/** From furthest away from `open` to `open` itself; `idle` links are not needed by anybody, so they do not count. */
const FURTHEST_FROM_OPEN: readonly StateName[] = ['backing-off', 'connecting', 'recovering', 'open'];

/** The state of a connection that needs all of `links`: that of the link furthest away from `open`. */
export function weakestState(links: readonly ConnectionState[]): ConnectionState | undefined {
  for (const name of FURTHEST_FROM_OPEN) {
    const weakest = links.find((link) => link.name === name);
    if (weakest !== undefined) return weakest;
  }
  return undefined;
}

/** What a link is for. With `links: 'shared'` one link does both. */
export type LinkRole = 'consuming' | 'publishing' | 'shared';
