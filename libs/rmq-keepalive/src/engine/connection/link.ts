/** The port between recovery and the wire: one link is one TCP + AMQP session, dead once it is lost, never revived. */
import type { Channel, ConfirmChannel } from 'amqplib';

/** What a link is for. With `links: 'shared'` one link does both. */
export type LinkRole = 'consuming' | 'publishing' | 'shared';

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
  openChannel(): Promise<Channel>;
  openConfirmChannel(): Promise<ConfirmChannel>;
  sendHeartbeat(): void;
  /** Ends the session at once: the socket is destroyed, nothing is said to the broker. The loss is reported with `cause`. */
  destroy(cause: Error): void;
  /** Ends the session in order (connection.close), or destroys it when the broker does not answer within `deadlineMs`. Not reported as a loss. */
  close(deadlineMs: number): Promise<void>;
}
