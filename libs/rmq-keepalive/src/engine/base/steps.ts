/**
 * One contract for all tables of states: of a connection, of a subscription, of a sender.
 *
 * Danger: a step that the table does not have is a mistake of ours, and the state that it leaves is not what the code
 * believes. To throw there would cost a connection that may well work.
 * Choice: the function of the table throws, so that a spec can walk it. Whoever owns a state takes the step all the same, since
 * what led to it has happened, and reports the mistake (the event `internal-error`). Each step is published on a diagnostics
 * channel of Node's, which costs nothing while nobody listens; our specs listen, and fail over an illegal one.
 */
import { channel } from 'node:diagnostics_channel';
import { IllegalStateError } from '../errors/connection-errors.js';

interface State {
  readonly name: string;
}

/** Which state may follow which. */
export type StepTable<Name extends string> = Readonly<Record<Name, readonly Name[]>>;

/** What the diagnostics channel {@link STEPS} carries. */
export interface Step {
  /** `a connection`, `the publisher`, `subscription "orders"`. */
  readonly owner: string;
  readonly from: string;
  readonly to: string;
  readonly isAllowed: boolean;
}

export const STEPS = 'nestjs-rmq-keepalive:step';
const steps = channel(STEPS);

/** Returns `to` if the table has the step. @throws {@link IllegalStateError} */
export function allowedStep<S extends State>(table: StepTable<S['name']>, owner: string, from: S, to: S): S {
  const allowed: readonly string[] = table[from.name as S['name']];
  if (!allowed.includes(to.name)) throw new IllegalStateError(owner, from.name, to.name);
  return to;
}

/** Call it when a step was taken: one that `next` does not allow is reported. */
export function tookStep<S extends State>(
  owner: string,
  next: (from: S, to: S, owner: string) => S,
  [from, to]: readonly [from: S, to: S],
  report: (error: IllegalStateError) => void,
): void {
  let illegal: IllegalStateError | undefined;
  try {
    next(from, to, owner);
  } catch (thrown) {
    illegal = thrown as IllegalStateError;
  }
  if (steps.hasSubscribers)
    steps.publish({ owner, from: from.name, to: to.name, isAllowed: illegal === undefined } satisfies Step);
  if (illegal !== undefined) report(illegal);
}
