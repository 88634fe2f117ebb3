/** Takes the snapshot that status.ts describes. */
import type { Consumer } from '../consuming/attaching/subscription-keeper.js';
import type { ConsumerRegistry } from '../consuming/attaching/subscription-keepers.js';
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
import type { LinkSupervisor } from '../recovery/link-keeper.js';
import type { OverallState } from './overall-state.js';

export interface SnapshotSources {
  readonly name: string;
  readonly downAfterMs: number;
  readonly state: OverallState;
  readonly record: ConnectionRecord;
  readonly links: readonly LinkSupervisor[];
  readonly noConfirms: ConnectionStatus['noConfirms'];
  readonly accessRefused: ConnectionStatus['accessRefused'];
  readonly consumers: ConsumerRegistry;
  readonly topology: TopologyKeeper;
  readonly publishers: Publishers;
  readonly rpc: Rpc;
}

export function takeSnapshot(sources: SnapshotSources): ConnectionStatus {
  const { state, record, consumers, topology, publishers } = sources;
  const wanted = consumers.all().filter((consumer) => consumer.isWanted);
  const missing = wanted.filter((consumer) => !consumer.isAttached);
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
    links: sources.links.filter((link) => link.state.name !== 'idle').map(linkStatus),
    lastLoss: record.lastLoss,
    lastFailedAttempt: record.lastFailedAttempt,
    reconnects: record.reconnects,
    consumers: {
      wanted: wanted.length,
      attached: wanted.length - missing.length,
      missing: missing.map((consumer) => missingConsumer(consumer, state.since)),
      paused: consumers.all().flatMap((consumer) => (consumer.isPaused && !consumer.isStopped ? [consumer.name] : [])),
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
      published: record.published,
      publishFailed: record.publishFailed,
      republished: record.republished,
      ...consumers.counters(),
      handlersRunning: consumers.all().reduce((sum, consumer) => sum + consumer.running, 0),
    },
    rpc: sources.rpc.status,
    eventLoop: record.eventLoop,
  };
}

function missingConsumer(consumer: Consumer, stateSince: number): MissingConsumer {
  const { name, queueName: queue, missingBecause } = consumer;
  if (missingBecause === undefined) {
    return { name, queue, code: 'RMQ_NOT_ATTACHED_YET', message: 'not attached yet', since: stateSince };
  }
  const { cause, since } = missingBecause;
  return { name, queue, code: codeOf(cause), message: reasonOf(cause), since };
}

function stuckDeliveries({ name, queueName: queue, stuck }: Consumer): StuckDeliveriesStatus[] {
  return stuck.map(({ to, deliveries, since, cause }) => {
    return { name, queue, to, deliveries, since, code: codeOf(cause), message: reasonOf(cause) };
  });
}

function singleActivePart({ name, queueName: queue, servedSince }: Consumer): SingleActiveStatus {
  return { name, queue, role: servedSince === undefined ? 'standby' : 'active', activeSince: servedSince ?? null };
}

function linkStatus(link: LinkSupervisor): LinkStatus {
  const plan = link.heartbeatPlan;
  const ages = link.link === undefined ? undefined : link.lastByteAges();
  return {
    role: link.role,
    state: link.state.name,
    endpoint: link.endpoint ?? null,
    attempt: link.attempt,
    credentialsExpireAt: link.credentialsExpireAt ?? null,
    heartbeatTimeoutSeconds: plan === undefined ? null : plan.timeoutMs / 1000,
    heartbeatThread: link.heartbeatThread,
    heartbeatIntervalMs: plan?.sendAfterMs ?? null,
    lastByteReceivedAgoMs: ages === undefined ? null : Math.round(ages.receivedAgoMs),
    lastByteSentAgoMs: ages === undefined ? null : Math.round(ages.sentAgoMs),
  };
}
