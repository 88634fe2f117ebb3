/**
 * What the status of a connection means for health. Pure: the time is an argument, the network is never asked.
 *
 * *Down* takes the service out of rotation, so it has to mean that waiting will not do: a connection that is being
 * restored is *degraded* until `downAfterMs` have passed, since publishes are held meanwhile and deliveries stay with the
 * broker. Before it was open for the first time it is *down*: a service that boots is not ready yet.
 */
import type { ConnectionStatus } from '../../engine/reporting/status.js';

/** Stable, for programs and alerts. While the connection is not open, the name of its state; `gave-up`: attempts are spent. */
export type HealthReason =
  | 'open'
  | 'access-refused'
  | 'consumer-missing'
  | 'deliveries-stuck'
  | 'entity-refused'
  | 'publisher-missing'
  | 'no-confirms'
  | 'blocked'
  | 'idle'
  | 'connecting'
  | 'recovering'
  | 'backing-off'
  | 'closing'
  | 'closed'
  | 'gave-up';

/** Whether a connection is fit for work, why, and since when. */
export interface HealthVerdict {
  readonly status: 'up' | 'degraded' | 'down';
  readonly reason: HealthReason;
  /** Epoch milliseconds since which this is so. */
  readonly since: number;
}

/**
 * What `status` means for health at the time `now`: for a health check of your own.
 * @param now epoch milliseconds
 */
export function verdict(status: ConnectionStatus, now: number): HealthVerdict {
  const { state } = status;
  if (state.name === 'open') return verdictWhileOpen(status);
  if (state.name === 'closed' && state.cause !== undefined) {
    return { status: 'down', reason: 'gave-up', since: status.stateSince };
  }
  if (state.name === 'closing' || state.name === 'closed') {
    return { status: 'down', reason: state.name, since: status.stateSince };
  }
  const since = status.downSince ?? status.stateSince;
  const isBeingRestored = status.hasBeenOpen && now - since <= status.downAfterMs;
  return { status: isBeingRestored ? 'degraded' : 'down', reason: state.name, since };
}

/**
 * Of several the one to look at first. Lost rights come before all that they may be the cause of. Then the worst: messages
 * that nobody consumes, failed ones that hold up the others, entities that are not as they should be. Last publishes that wait:
 * for a channel, for confirms, for the end of an alarm.
 */
function verdictWhileOpen(status: ConnectionStatus): HealthVerdict {
  const { stateSince, accessRefused, consumers, topology, publishing, noConfirms, blocked } = status;
  if (accessRefused !== null) return { status: 'degraded', reason: 'access-refused', since: accessRefused.since };
  if (consumers.missing.length > 0) {
    const since = Math.min(...consumers.missing.map((consumer) => consumer.since));
    return { status: 'degraded', reason: 'consumer-missing', since };
  }
  if (consumers.stuck.length > 0) {
    const since = Math.min(...consumers.stuck.map((stuck) => stuck.since));
    return { status: 'degraded', reason: 'deliveries-stuck', since };
  }
  if (topology.refused.length > 0) return { status: 'degraded', reason: 'entity-refused', since: stateSince };
  if (publishing.missing.length > 0) {
    const since = Math.min(...publishing.missing.map((publisher) => publisher.since));
    return { status: 'degraded', reason: 'publisher-missing', since };
  }
  if (noConfirms !== null) return { status: 'degraded', reason: 'no-confirms', since: noConfirms.since };
  if (blocked !== null) return { status: 'degraded', reason: 'blocked', since: blocked.since };
  return { status: 'up', reason: 'open', since: stateSince };
}
