/** What a sender and its channel are given, what they ask of the connection around them, and what they say of themselves. */
import type { Link, ReturnedPublish } from '../../link/link.js';
import type { ResolvedOutbox } from './outbox.js';
import type { PublishWatch } from './outgoing-message.js';
import type { ReplyConsumer } from './reply-consumer.js';

export interface SenderChannelOptions {
  /** `off`: a message is settled when it was handed to the socket. */
  readonly confirms: 'on' | 'off';
  /** `at-once`: the channel is opened with every link. `on-demand`: with the first message. */
  readonly opens: 'at-once' | 'on-demand';
  /** Heard on the channel of every session. */
  readonly replies?: ReplyConsumer;
}

export interface OutboxSenderOptions extends SenderChannelOptions {
  readonly bounds: ResolvedOutbox;
}

export interface SenderChannelNeeds {
  /** Starts the publishing link if nobody has needed it yet. */
  needLink(): void;
  /** The publishing link, from when publishers are attached on it until it is lost. */
  link(): Link | undefined;
  /** Whether the connection closes: no link comes up any more. */
  isEnding(): boolean;
  /** Declares these exchanges again, one may be missing, then lets `attach` open a channel. Rejects when that fails. */
  repair(link: Link, exchanges: ReadonlySet<string>, attach: () => Promise<void>): Promise<void>;
  /** The link lives, but has no channel for it: it is out of channels, say. */
  noChannel(cause: Error, retryInMs: number): void;
  /** A mistake of ours that costs nothing by itself. */
  internalError(cause: Error): void;
}

export interface OutboxSenderNeeds extends SenderChannelNeeds {
  readonly watch?: PublishWatch;
  /** Why nothing gets through, while nothing does: the last failed attempt, the loss, the node that confirms nothing. */
  hindrance(): Error | undefined;
  /** The broker has confirmed a message to that exchange. */
  confirmed(exchange: string): void;
  failed(cause: Error): void;
  /** The channel of a publisher without confirms was closed, for the so manieth time in short succession. */
  failedUnheard(cause: Error, times: number): void;
  republished(count: number): void;
  /** Without confirms: nobody waits for this one any more. */
  returned(message: ReturnedPublish): void;
}

/** What is held, and where. */
export interface PublisherStatus {
  readonly queued: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly bytes: number;
}

/** What has become of messages so far. */
export interface PublisherCounters {
  published: number;
  publishFailed: number;
  republished: number;
}
