/**
 * The states of a subscription: what each carries, and which may follow which. One table, executed by `nextSubscriptionState`,
 * and drawn into docs/reference/lifecycle.md.
 *
 * The channel is no part of it: it may outlive the consumer, for the acks of what still runs. See `ConsumerChannel`.
 */
import { allowedStep, type StepTable } from '../../base/steps.js';
import type { Link } from '../../link/link.js';
import type { Consumer } from '../consumer/consumer.js';

/** Why it is not attached, and since when. */
export interface MissingBecause {
  readonly cause: Error;
  /** Epoch ms. */
  readonly since: number;
}

export type SubscriptionState =
  | { readonly name: 'waiting'; readonly missing: MissingBecause | undefined }
  | { readonly name: 'attaching'; readonly link: Link; readonly missing: MissingBecause | undefined }
  | { readonly name: 'attached'; readonly consumer: Consumer }
  | { readonly name: 'missing'; readonly missing: MissingBecause }
  | { readonly name: 'left-out'; readonly missing: MissingBecause }
  | { readonly name: 'paused' }
  | { readonly name: 'leaving' }
  | { readonly name: 'ended'; readonly closed: Promise<void> };

export type SubscriptionStateName = SubscriptionState['name'];

export const NEXT_SUBSCRIPTION_STATES = {
  waiting: ['attaching', 'missing', 'left-out', 'paused', 'leaving'],
  // Itself: there is no answer yet, and that is why it is missing.
  attaching: ['attached', 'missing', 'attaching', 'waiting', 'paused', 'leaving'],
  attached: ['missing', 'waiting', 'paused', 'leaving'],
  missing: ['attaching', 'waiting', 'paused', 'leaving'],
  'left-out': ['waiting', 'paused', 'leaving'],
  // Attached: what ran was not finished, so that it was not handed over yet.
  paused: ['waiting', 'attaching', 'attached', 'leaving'],
  leaving: ['ended'],
  ended: [],
} as const satisfies StepTable<SubscriptionStateName>;

/** One sentence a state; docs/reference/lifecycle.md prints them. */
export const SUBSCRIPTION_STATE_MEANINGS: Record<SubscriptionStateName, string> = {
  waiting: 'It waits for a link, or until what runs is finished, because its channel or link is needed elsewhere.',
  attaching: 'The broker was asked for a channel and a consumer; one that it does not answer stays here.',
  attached: 'The broker has its consumer, and deliveries come.',
  missing:
    'The link lives, and the broker refused it, cancelled its consumer, closed its channel or has none left. It is asked again.',
  'left-out': 'The broker closed the connection over it. It is tried on a link of its own until that lives.',
  paused: '`pause()` was called: its consumer is cancelled, and what runs is finished.',
  leaving: 'It was unsubscribed, or the connection closes: its consumer is cancelled, and what runs is finished.',
  ended: 'The end: its channel is closed.',
};

/** Returns `to` if the table allows the step. @throws {@link IllegalStateError} */
export function nextSubscriptionState(
  from: SubscriptionState,
  to: SubscriptionState,
  owner = 'a subscription',
): SubscriptionState {
  return allowedStep(NEXT_SUBSCRIPTION_STATES, owner, from, to);
}

/** Why it is not attached, if it should be. */
export function missingBecauseOf(state: SubscriptionState): MissingBecause | undefined {
  return 'missing' in state ? state.missing : undefined;
}
