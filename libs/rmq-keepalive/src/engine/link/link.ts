/** The port between recovery and the wire: one link is one TCP + AMQP session, dead once it is lost, never revived. */
import type { Channel, ConsumeMessage } from 'amqplib';
import type { LinkChannels } from './link-channels.js';
import type { ShowPublish } from './shown-publishes.js';
import type { LinkRole } from '../reporting/lifecycle.js';

export interface Link {
  readonly role: LinkRole;
  /** `amqp://host:port/vhost`, without credentials. */
  readonly endpoint: string;
  /** The heartbeat timeout both sides agreed on, in seconds; 0 is none. */
  readonly negotiatedHeartbeatSeconds: number;
  /** False from the moment the link is lost, destroyed or closed. */
  readonly isUp: boolean;
  /** Raised by the broker's resource alarm; set while it lasts. */
  readonly blockedBecause: string | undefined;
  /** Bytes so far, each way: plain counters of the socket. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Places for channels. Take one before a channel is opened, give it back when that is closed. */
  readonly channels: LinkChannels;
  /** Names of what is asked of the broker on this link and not answered yet: what it may be closed over. */
  readonly asked: ReadonlySet<string>;
  /** Notes that `what` is asked for. @returns to be called with the answer; when the link is lost first, `asked` keeps it */
  asking(what: string): () => void;
  /**
   * Resolves with whether the broker answers on a further channel of this link; `false` as well when the link ends or has no
   * channel left.
   */
  answers(): Promise<boolean>;
  openChannel(): Promise<Channel>;
  /** A channel that does nothing but publish and hear replies; `confirms: 'off'` for one that the broker does not confirm on. */
  openPublishingChannel(confirms: 'on' | 'off', events: PublishingChannelHears): Promise<PublishingChannel>;
  sendHeartbeat(): void;
  /** Ends the session at once: the socket is destroyed, nothing is said to the broker. The loss is reported with `cause`. */
  destroy(cause: Error): void;
  /**
   * Ends the session in order (connection.close), or destroys it when the broker does not answer within `deadlineMs`. Not
   * reported as a loss.
   */
  close(deadlineMs: number): Promise<void>;
}

/** One channel for publishing. Whoever has it writes whole frames of that channel, and nobody else writes any. */
export interface PublishingChannel {
  /** Stands in every frame. */
  readonly number: number;
  /** The largest frame both sides agreed on, its eight bytes of overhead included. */
  readonly maxFrameBytes: number;
  /** Set where others see to publishes: each message is shown before it is written, in the form that it comes back in. */
  readonly show: ShowPublish | undefined;
  /** False while the socket has enough to do, until `writable` is called, and for ever once the channel is over. */
  readonly isWritable: boolean;
  /** Hands frames to the socket, in one go. They must not be changed afterwards. Does nothing once the channel is over. */
  write(frames: readonly Buffer[]): void;
  /**
   * Consumes replies, without acks; to be called before anything is written, and once. `received` gets `undefined` when the
   * broker cancels it, and must not throw. Rejects when the broker refuses, or when the channel ends first.
   */
  hearReplies(queue: string, received: (message: ConsumeMessage | undefined) => void): Promise<void>;
  /** Resolves when the broker has read all that was written and closed the channel, or when the link is gone. */
  close(): Promise<void>;
}

export interface PublishingChannelHears {
  /** basic.ack: this tag, or all up to it. */
  confirmed(tag: number, multiple: boolean): void;
  /** basic.nack, likewise. */
  nacked(tag: number, multiple: boolean): void;
  /** basic.return; before the confirm of the same message. */
  returned(message: ReturnedPublish): void;
  /** The socket can take more. */
  writable(): void;
  /** Called once, with the broker's reason if it was the broker. */
  closed(cause: Error | undefined): void;
}

/** A message that no queue is bound for. */
export interface ReturnedPublish {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string | undefined;
  readonly correlationId: string | undefined;
  readonly replyCode: number;
  readonly replyText: string;
}
