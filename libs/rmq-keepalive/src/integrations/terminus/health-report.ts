/** How a connection's health reads in an answer: a public form for everybody, and details for those who ask. */
import type { ConnectionStatus, LinkStatus, StuckDeliveriesStatus } from '../../engine/reporting/status.js';
import type { HealthReason, HealthVerdict } from './health-verdict.js';

/** Names no host, no queue, no error text: fit for an endpoint that everybody can read. */
export interface PublicHealth {
  readonly reason: HealthReason;
  /** ISO 8601, UTC. */
  readonly since: string;
}

/** Names what is missing, still without hosts, credentials or error texts. */
export interface HealthDetails {
  readonly links: readonly LinkHealth[];
  readonly reconnects: number;
  /** The last lost link: when, and the code of the error. */
  readonly lastLoss: { readonly at: string; readonly code: string } | null;
  /** The last attempt to connect that failed, until that link is open. */
  readonly lastFailedAttempt: { readonly at: string; readonly code: string } | null;
  readonly consumers: {
    readonly wanted: number;
    readonly attached: number;
    readonly missing: readonly string[];
    readonly paused: readonly string[];
    /** Failed deliveries that cannot be moved: how many, from which queue, for which one. */
    readonly stuck: readonly StuckHealth[];
    /** Those with `singleActive` that are attached and have been given nothing: another process may be at it. Not missing. */
    readonly standby: readonly string[];
    /** Those with `exclusive` whose queue ignores it. */
    readonly notExclusive: readonly string[];
  };
  /** Entities that the broker refuses to declare. */
  readonly refused: readonly string[];
  /** What the broker refuses now (403) and allowed before; null when it does not. */
  readonly accessRefused: { readonly since: string; readonly entities: readonly string[] } | null;
  /** Publishers that have no channel although their link is up: `the publisher`, `a further publisher`, `RPC "<name>"`. */
  readonly publishing: { readonly missing: readonly string[] };
  /** The broker's resource alarm; null without one. */
  readonly blocked: { readonly reason: string; readonly since: string } | null;
  /** Publishes wait, and none of any kind has been confirmed since; null otherwise. */
  readonly noConfirms: { readonly since: string; readonly waiting: number } | null;
  readonly outbox: ConnectionStatus['outbox'];
  /**
   * How often and for how long the event loop stood still; a loss by that has the code RMQ_EVENT_LOOP_BLOCKED, or
   * RMQ_PROCESS_STOPPED.
   */
  readonly eventLoop: Pick<ConnectionStatus['eventLoop'], 'stalls' | 'longestStallMs' | 'lastStallKind'> & {
    readonly lastStallAt: string | null;
  };
}

type LinkHealth = Pick<
  LinkStatus,
  | 'role'
  | 'state'
  | 'attempt'
  | 'heartbeatTimeoutSeconds'
  | 'heartbeatThread'
  | 'lastByteReceivedAgoMs'
  | 'lastByteSentAgoMs'
>;

interface StuckHealth extends Pick<StuckDeliveriesStatus, 'queue' | 'to' | 'deliveries'> {
  /** ISO 8601, UTC. */
  readonly since: string;
}

export function publicHealth({ reason, since }: HealthVerdict): PublicHealth {
  return { reason, since: isoTime(since) };
}

export function healthDetails(status: ConnectionStatus): HealthDetails {
  const { links, reconnects, lastLoss, lastFailedAttempt, consumers, topology, eventLoop } = status;
  const { accessRefused, publishing, blocked, noConfirms, outbox } = status;
  return {
    links: links.map(linkHealth),
    reconnects,
    lastLoss: lastLoss && { at: isoTime(lastLoss.at), code: lastLoss.code },
    lastFailedAttempt: lastFailedAttempt && { at: isoTime(lastFailedAttempt.at), code: lastFailedAttempt.code },
    consumers: {
      wanted: consumers.wanted,
      attached: consumers.attached,
      missing: consumers.missing.map((consumer) => consumer.name),
      paused: consumers.paused,
      stuck: consumers.stuck.map(stuckHealth),
      standby: consumers.singleActive.flatMap(({ name, role }) => (role === 'standby' ? [name] : [])),
      notExclusive: consumers.notExclusive,
    },
    refused: topology.refused.map(({ entity }) => entity),
    accessRefused: accessRefused && {
      since: isoTime(accessRefused.since),
      entities: accessRefused.refusals.map(({ entity }) => entity),
    },
    publishing: { missing: publishing.missing.map(({ name }) => name) },
    blocked: blocked && { reason: blocked.reason, since: isoTime(blocked.since) },
    noConfirms: noConfirms && { waiting: noConfirms.waiting, since: isoTime(noConfirms.since) },
    outbox: { ...outbox },
    eventLoop: {
      stalls: eventLoop.stalls,
      longestStallMs: Math.round(eventLoop.longestStallMs),
      lastStallKind: eventLoop.lastStallKind,
      lastStallAt: eventLoop.lastStallAt === null ? null : isoTime(eventLoop.lastStallAt),
    },
  };
}

/** One by one, so that a field that joins the status later (a host, say) does not join the answer by itself. */
function linkHealth(link: LinkStatus): LinkHealth {
  const { role, state, attempt, heartbeatTimeoutSeconds, heartbeatThread, lastByteReceivedAgoMs, lastByteSentAgoMs } =
    link;
  return {
    role,
    state,
    attempt,
    heartbeatTimeoutSeconds,
    heartbeatThread,
    lastByteReceivedAgoMs,
    lastByteSentAgoMs,
  };
}

function stuckHealth({ queue, to, deliveries, since }: StuckDeliveriesStatus): StuckHealth {
  return { queue, to, deliveries, since: isoTime(since) };
}

const isoTime = (epochMs: number): string => new Date(epochMs).toISOString();
