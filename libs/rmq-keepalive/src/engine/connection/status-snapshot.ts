/** Takes the snapshot that status.ts describes. */
import type { SubscriptionKeeper } from '../consuming/attaching/subscription-keeper.js';
import type { SubscriptionKeepers } from '../consuming/attaching/subscription-keepers.js';
import { reasonOf } from '../errors/reasons.js';
import type { Publishers } from '../publishing/publishers.js';
import type { Rpc } from '../rpc/rpc.js';
import {
  codeOf,
  type ConnectionStatus,
  type LinkStatus,
  type MissingConsumer,
  type SingleActiveStatus,
  type StuckDeliveriesStatus,
} from '../reporting/status.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';
import type { ConnectionRecord } from './connection-record.js';
import type { LinkKeeper } from '../recovery/link-keeper.js';
import type { OverallState } from './overall-state.js';

interface SnapshotNeeds {
  readonly name: string;
  readonly downAfterMs: number;
  readonly state: OverallState;
  readonly record: ConnectionRecord;
  readonly keepers: readonly LinkKeeper[];
  readonly noConfirms: ConnectionStatus['noConfirms'];
  readonly accessRefused: ConnectionStatus['accessRefused'];
  readonly subscriptions: SubscriptionKeepers;
  readonly topology: TopologyKeeper;
  readonly publishers: Publishers;
  readonly rpc: Rpc;
}

export function takeSnapshot(sources: SnapshotNeeds): ConnectionStatus {
  const { state, record, subscriptions: consumers, topology, publishers } = sources;
  const wanted = consumers.all().filter((keeper) => keeper.isWanted);
  const missing = wanted.filter((keeper) => !keeper.isAttached);
  return {
    name: sources.name,
    state: state.value,
    stateSince: state.since,
    downSince: state.downSince,
    downAfterMs: sources.downAfterMs,
    hasBeenOpen: state.hasBeenOpen,
    blocked: record.blocked,
    noConfirms: sources.noConfirms,
    accessRefused: sources.accessRefused,
    links: sources.keepers.filter((keeper) => keeper.state.name !== 'idle').map(linkStatus),
    lastLoss: record.lastLoss,
    lastFailedAttempt: record.lastFailedAttempt,
    reconnects: record.reconnects,
    consumers: {
      wanted: wanted.length,
      attached: wanted.length - missing.length,
      missing: missing.map((keeper) => missingConsumer(keeper, state.since)),
      paused: consumers.all().flatMap((keeper) => (keeper.isPaused && !keeper.isStopped ? [keeper.name] : [])),
      stuck: consumers.all().flatMap(stuckDeliveries),
      singleActive: wanted.filter((one) => one.wanted.singleActive && one.isAttached).map(singleActivePart),
      notExclusive: wanted.filter((one) => one.isExclusiveInVain).map(({ name }) => name),
    },
    topology: {
      refused: topology.refusals.map(({ entity, cause }) => ({ entity, code: cause.code, message: reasonOf(cause) })),
    },
    publishing: {
      missing: publishers.missing.map(({ name, cause, since }) => {
        return { name, code: codeOf(cause), message: reasonOf(cause), since };
      }),
    },
    outbox: publishers.status,
    counters: {
      ...publishers.counters,
      ...consumers.counters(),
      handlersRunning: consumers.all().reduce((sum, keeper) => sum + keeper.running, 0),
    },
    rpc: sources.rpc.status,
    eventLoop: record.eventLoop,
  };
}

function missingConsumer(keeper: SubscriptionKeeper, stateSince: number): MissingConsumer {
  const { name, queueName: queue, missingBecause } = keeper;
  if (missingBecause === undefined) {
    return { name, queue, code: 'RMQ_NOT_ATTACHED_YET', message: 'not attached yet', since: stateSince };
  }
  const { cause, since } = missingBecause;
  return { name, queue, code: codeOf(cause), message: reasonOf(cause), since };
}

function stuckDeliveries({ name, queueName: queue, stuck }: SubscriptionKeeper): StuckDeliveriesStatus[] {
  return stuck.map(({ to, deliveries, since, cause }) => {
    return { name, queue, to, deliveries, since, code: codeOf(cause), message: reasonOf(cause) };
  });
}

function singleActivePart({ name, queueName: queue, servedSince }: SubscriptionKeeper): SingleActiveStatus {
  return { name, queue, role: servedSince === undefined ? 'standby' : 'active', activeSince: servedSince ?? null };
}

function linkStatus(keeper: LinkKeeper): LinkStatus {
  const plan = keeper.heartbeatPlan;
  const ages = keeper.link === undefined ? undefined : keeper.lastByteAges();
  return {
    role: keeper.role,
    state: keeper.state.name,
    endpoint: keeper.endpoint ?? null,
    attempt: keeper.attempt,
    credentialsExpireAt: keeper.credentialsExpireAt ?? null,
    heartbeatTimeoutSeconds: plan === undefined ? null : plan.timeoutMs / 1000,
    heartbeatThread: keeper.heartbeatThread,
    heartbeatIntervalMs: plan?.sendAfterMs ?? null,
    lastByteReceivedAgoMs: ages === undefined ? null : Math.round(ages.receivedAgoMs),
    lastByteSentAgoMs: ages === undefined ? null : Math.round(ages.sentAgoMs),
  };
}
