/** What the run, its producer and its consumer agree on. */

export const EXCHANGE = 'chaos';
/** The durable queue that nobody touches: every confirmed message must come out of it. */
export const QUEUE = 'chaos.orders';
/** Bound beside it, and deleted under its consumer now and then. */
export const DELETED_QUEUE = 'chaos.copies';
export const QUEUES = [QUEUE, DELETED_QUEUE] as const;

export const HEARTBEAT_TIMEOUT_SECONDS = 2;

export type VillainName =
  'transient queue' | 'unreadable message' | 'channel limit' | 'full dead-letter queue' | 'expired token';

/** Of the villains; `extra` is the beginning of several names. */
export const VILLAIN_QUEUES = {
  transient: 'villain.transient',
  unreadable: 'villain.unreadable',
  extra: 'villain.extra',
  failing: 'villain.failing',
  tokens: 'villain.tokens',
} as const;

/** What the consuming service is told of the villains. */
export interface VillainAssignment {
  /** The names of those that act, as JSON. */
  readonly actingFile: string;
  /** The present credentials of the connection that logs in with tokens, as JSON. */
  readonly tokenFile: string;
  /** For that connection; names no user. */
  readonly tokenUrl: string;
}

/** What a deliberate defect is for: to show that the run would find it. */
export const SABOTAGES = ['lossy-consumer', 'forgotten-message', 'silent-duplicate'] as const;
export type Sabotage = (typeof SABOTAGES)[number];

/** What a child is told at its start, as JSON in its only argument. */
export interface Assignment {
  readonly url: string;
  readonly ledger: string;
  /** Messages a second; for the producer. */
  readonly rate: number;
  readonly sabotage?: Sabotage;
  /** For the consumer. */
  readonly villains?: VillainAssignment;
}

export type Command =
  | { readonly command: 'block'; readonly ms: number }
  | { readonly command: 'publish' }
  | { readonly command: 'stop-publishing' };

export type Report =
  | { readonly report: 'ready' }
  | { readonly report: 'unblocked' }
  /** Nothing is published any more, and every promise has settled. */
  | { readonly report: 'settled' };
