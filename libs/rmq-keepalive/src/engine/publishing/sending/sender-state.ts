/**
 * The states of a sender: what each carries, and which may follow which. One table, executed by `nextSenderState`, and drawn
 * into docs/reference/lifecycle.md.
 */
import type { Timer } from '../../base/clock.js';
import { allowedStep, type StepTable } from '../../base/steps.js';
import { ChannelsExhaustedError } from '../../errors/channel-errors.js';
import type { Link } from '../../link/link.js';
import type { PublishSession } from './publish-session.js';

/** Why a sender has no channel although its link lives, and since when. */
export interface MissingReason {
  /** Of the last try. */
  readonly cause: Error;
  /** Epoch ms. */
  readonly since: number;
}

export type SenderState =
  | { readonly name: 'unneeded' }
  | { readonly name: 'waiting' }
  | { readonly name: 'repairing'; readonly link: Link; readonly missing: MissingReason | undefined }
  | { readonly name: 'opening'; readonly link: Link; readonly missing: MissingReason | undefined }
  | {
      readonly name: 'without-channel';
      readonly link: Link;
      readonly missing: MissingReason;
      /** `undefined`: its owner says when it is tried again. */
      readonly retry: Timer | undefined;
    }
  | { readonly name: 'sending'; readonly link: Link; readonly session: PublishSession }
  | {
      readonly name: 'closing';
      readonly link: Link;
      /** Closed in order, or given back as soon as it is open. */
      readonly session: PublishSession | 'being-opened' | undefined;
    }
  | { readonly name: 'closed'; readonly wasNeeded: boolean };

export type SenderStateName = SenderState['name'];

export const NEXT_SENDER_STATES = {
  unneeded: ['waiting', 'repairing', 'closed'],
  waiting: ['opening', 'closed'],
  repairing: ['opening', 'without-channel', 'waiting', 'closing'],
  opening: ['sending', 'without-channel', 'waiting', 'closing'],
  'without-channel': ['repairing', 'waiting', 'closing'],
  sending: ['repairing', 'waiting', 'closing'],
  closing: ['closed'],
  closed: [],
} as const satisfies StepTable<SenderStateName>;

/** One sentence a state; docs/reference/lifecycle.md prints them. */
export const SENDER_STATE_MEANINGS: Record<SenderStateName, string> = {
  unneeded: 'Nobody has published with it: it has no channel, and wants no link.',
  waiting: 'There is no link. Messages wait in the outbox; while the connection closes they are refused.',
  repairing: 'The link lives. Exchanges that may be missing are declared again before a channel is opened.',
  opening: 'The link lives, and the broker was asked for a channel.',
  'without-channel':
    'The link lives and has no channel for it: none is free, or the broker refused. It is asked again.',
  sending: 'The channel is open: messages go out, and confirms come back.',
  closing: 'Nothing is accepted any more, what was left is rejected, and the channel is still to be closed.',
  closed: 'The end: no channel, no timer.',
};

/** Returns `to` if the table allows the step. @throws {@link IllegalStateError} */
export function nextSenderState(from: SenderState, to: SenderState, owner = 'a publisher'): SenderState {
  return allowedStep(NEXT_SENDER_STATES, owner, from, to);
}

/** Why it has no channel, while the link lives. */
export function missingReasonOf(state: SenderState): MissingReason | undefined {
  return 'missing' in state ? state.missing : undefined;
}

/** Whether it waits for a channel that somebody gives back. */
export function isOutOfChannels(state: SenderState): boolean {
  return (
    state.name === 'without-channel' &&
    state.retry !== undefined &&
    state.missing.cause instanceof ChannelsExhaustedError
  );
}

/** Whether a failed try says something new: while no channel gets free there is none. */
export function isNewReason(cause: Error, before: MissingReason | undefined): boolean {
  return !(cause instanceof ChannelsExhaustedError) || before?.cause.message !== cause.message;
}
