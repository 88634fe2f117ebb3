import { describe, expect, it } from '@jest/globals';
import type { ConnectionState } from '../../engine/reporting/lifecycle.js';
import type { ConnectionStatus } from '../../engine/reporting/status.js';
import { healthDetails, publicHealth } from './health-report.js';
import { verdict } from './health-verdict.js';

const NOW = Date.UTC(2024, 0, 1);
const ago = (ms: number): number => NOW - ms;
const backingOff: ConnectionState = {
  name: 'backing-off',
  attempt: 3,
  retryAt: NOW + 500,
  cause: new Error('refused'),
};

function statusOf(changes: Partial<ConnectionStatus> = {}): ConnectionStatus {
  return {
    name: 'default',
    state: { name: 'open', since: ago(60_000) },
    stateSince: ago(60_000),
    downSince: null,
    downAfterMs: 30_000,
    hasBeenOpen: true,
    blocked: null,
    accessRefused: null,
    noConfirms: null,
    links: [
      {
        role: 'consuming',
        state: 'open',
        endpoint: 'amqp://secret-host:5672/%2F',
        attempt: 0,
        credentialsExpireAt: null,
        heartbeatTimeoutSeconds: 10,
        heartbeatThread: 'main',
        heartbeatIntervalMs: 5_000,
        lastByteReceivedAgoMs: 1_234,
        lastByteSentAgoMs: 4_321,
      },
    ],
    lastLoss: null,
    lastFailedAttempt: null,
    reconnects: 0,
    consumers: { wanted: 2, attached: 2, missing: [], paused: [], stuck: [], singleActive: [], notExclusive: [] },
    topology: { refused: [] },
    publishing: { missing: [] },
    outbox: { queued: 0, inFlight: 0, waiting: 0, bytes: 0, maxMessages: 10, maxBytes: 100 },
    counters: {
      published: 0,
      publishFailed: 0,
      republished: 0,
      delivered: 0,
      acked: 0,
      requeued: 0,
      rejected: 0,
      deadLettered: 0,
      duplicatesSkipped: 0,
      retried: 0,
      staleSettlements: 0,
      dropped: 0,
      handlersRunning: 0,
    },
    rpc: {
      outstanding: 0,
      finished: 0,
      failed: 0,
      timedOut: 0,
      aborted: 0,
      unroutable: 0,
      linkLost: 0,
      refused: 0,
      closed: 0,
      lateReplies: 0,
      strayReplies: 0,
      repliesSent: 0,
      repliesLost: 0,
      errorsSent: 0,
      expired: 0,
      replyToRefused: 0,
      streaming: 0,
    },
    eventLoop: { stalls: 0, longestStallMs: 0, lastStallMs: 0, lastStallAt: null, lastStallKind: null },
    ...changes,
  };
}

const missing = (since: number) => ({
  name: 'Orders.onCreated',
  queue: 'orders',
  code: 'RMQ_CONSUME_REFUSED',
  message: 'at secret-host',
  since,
});

const stuck = (since: number) => ({
  name: 'Orders.onCreated',
  queue: 'orders',
  to: 'orders.dead',
  deliveries: 3,
  code: 'RMQ_PUBLISH_NACKED',
  message: 'at secret-host',
  since,
});

const lacksChannel = (since: number) => ({
  name: 'the publisher',
  code: 'RMQ_CHANNELS_EXHAUSTED',
  message: 'at secret-host',
  since,
});

const part = (name: string, activeSince: number | null) => ({
  name,
  queue: 'orders',
  role: activeSince === null ? ('standby' as const) : ('active' as const),
  activeSince,
});

describe('health', () => {
  it('is up while the connection is open, since it opened', () => {
    expect(verdict(statusOf(), NOW)).toEqual({ status: 'up', reason: 'open', since: ago(60_000) });
  });

  it.each<ConnectionState>([backingOff, { name: 'connecting', attempt: 3 }, { name: 'recovering', attempt: 3 }])(
    'is degraded while a lost connection is being restored ($name), and down after downAfterMs',
    (state) => {
      const lost = (sinceMs: number) => verdict(statusOf({ state, downSince: ago(sinceMs), stateSince: ago(5) }), NOW);
      expect(lost(1_000)).toEqual({ status: 'degraded', reason: state.name, since: ago(1_000) });
      expect(lost(30_000).status).toBe('degraded');
      expect(lost(30_001)).toEqual({ status: 'down', reason: state.name, since: ago(30_001) });
    },
  );

  it('is down at once with downAfterMs: 0', () => {
    expect(verdict(statusOf({ state: backingOff, downSince: ago(1), downAfterMs: 0 }), NOW).status).toBe('down');
  });

  it.each<ConnectionState>([{ name: 'idle' }, { name: 'connecting', attempt: 1 }, backingOff])(
    'is down before the connection was ever open ($name): the service is not ready',
    (state) => {
      const booting = verdict(statusOf({ state, downSince: ago(10), hasBeenOpen: false }), NOW);
      expect(booting).toEqual({ status: 'down', reason: state.name, since: ago(10) });
    },
  );

  it.each<[ConnectionState, string]>([
    [{ name: 'closing' }, 'closing'],
    [{ name: 'closed' }, 'closed'],
    [{ name: 'closed', cause: new Error('spent') }, 'gave-up'],
  ])('is down when it is over: %j is %s', (state, reason) => {
    const over = verdict(statusOf({ state, stateSince: ago(7), downSince: ago(9) }), NOW);
    expect(over).toEqual({ status: 'down', reason, since: ago(7) });
  });

  it('is degraded while a consumer is missing, since the first of them', () => {
    const consumers = {
      wanted: 2,
      attached: 0,
      missing: [missing(ago(20)), missing(ago(90))],
      paused: [],
      stuck: [],
      singleActive: [],
      notExclusive: [],
    };
    expect(verdict(statusOf({ consumers }), NOW)).toEqual({
      status: 'degraded',
      reason: 'consumer-missing',
      since: ago(90),
    });
  });

  it('is degraded while the broker refuses what it allowed before, rather than for what comes of it', () => {
    const accessRefused = {
      since: ago(50),
      refusals: [{ entity: 'consumer "c"', code: 'X', message: 'at secret-host' }],
    };
    const consumers = {
      wanted: 2,
      attached: 0,
      missing: [missing(ago(20))],
      paused: [],
      stuck: [],
      singleActive: [],
      notExclusive: [],
    };
    const status = statusOf({ accessRefused, consumers });
    expect(verdict(status, NOW)).toEqual({ status: 'degraded', reason: 'access-refused', since: ago(50) });
    expect(healthDetails(status).accessRefused).toEqual({
      since: '2023-12-31T23:59:59.950Z',
      entities: ['consumer "c"'],
    });
  });

  it('is degraded while the broker refuses an entity', () => {
    const topology = { refused: [{ entity: 'queue "q"', code: 'RMQ_TOPOLOGY_REFUSED', message: 'at secret-host' }] };
    expect(verdict(statusOf({ topology }), NOW)).toMatchObject({ status: 'degraded', reason: 'entity-refused' });
  });

  it('is degraded while a publisher has no channel, since the first of them, before any alarm', () => {
    const publishing = { missing: [lacksChannel(ago(20)), lacksChannel(ago(90))] };
    const blocked = { reason: 'low on memory', since: ago(300) };
    expect(verdict(statusOf({ publishing, blocked }), NOW)).toEqual({
      status: 'degraded',
      reason: 'publisher-missing',
      since: ago(90),
    });
    const topology = { refused: [{ entity: 'queue "q"', code: 'RMQ_TOPOLOGY_REFUSED', message: 'at secret-host' }] };
    expect(verdict(statusOf({ publishing, topology }), NOW).reason).toBe('entity-refused');
  });

  it('is degraded while the broker blocks publishes', () => {
    const blocked = { reason: 'low on memory', since: ago(300) };
    expect(verdict(statusOf({ blocked }), NOW)).toEqual({ status: 'degraded', reason: 'blocked', since: ago(300) });
  });

  it('is degraded while failed deliveries cannot be moved, since the first of them', () => {
    const consumers = {
      wanted: 2,
      attached: 2,
      missing: [],
      paused: [],
      stuck: [stuck(ago(20)), stuck(ago(90))],
      singleActive: [],
      notExclusive: [],
    };
    expect(verdict(statusOf({ consumers }), NOW)).toEqual({
      status: 'degraded',
      reason: 'deliveries-stuck',
      since: ago(90),
    });
  });

  it('is up while a subscription stands by: another process is at it', () => {
    const singleActive = [part('Waits.on', null)];
    const consumers = { wanted: 1, attached: 1, missing: [], paused: [], stuck: [], singleActive, notExclusive: [] };
    expect(verdict(statusOf({ consumers }), NOW).status).toBe('up');
  });

  it('names the missing consumer rather than the alarm when both are so', () => {
    const consumers = {
      wanted: 1,
      attached: 0,
      missing: [missing(ago(20))],
      paused: [],
      stuck: [],
      singleActive: [],
      notExclusive: [],
    };
    const blocked = { reason: 'low on memory', since: ago(300) };
    expect(verdict(statusOf({ consumers, blocked }), NOW).reason).toBe('consumer-missing');
  });
});

describe('the health report', () => {
  it('shows everybody a reason code and since when, nothing else', () => {
    expect(publicHealth(verdict(statusOf(), NOW))).toEqual({ reason: 'open', since: '2023-12-31T23:59:00.000Z' });
  });

  it('names hosts and error texts not even in its details', () => {
    const details = healthDetails(
      statusOf({
        lastLoss: { at: ago(5), role: 'consuming', code: 'RMQ_LINK_LOST', message: 'at secret-host' },
        lastFailedAttempt: { at: ago(4), role: 'consuming', code: 'RMQ_CONNECT_FAILED', message: 'at secret-host' },
        consumers: {
          wanted: 2,
          attached: 1,
          missing: [missing(ago(20))],
          paused: [],
          stuck: [stuck(ago(300))],
          singleActive: [part('Waits.on', null), part('Works.on', ago(5))],
          notExclusive: ['Shares.on'],
        },
        topology: { refused: [{ entity: 'queue "q"', code: 'RMQ_TOPOLOGY_REFUSED', message: 'at secret-host' }] },
        publishing: { missing: [lacksChannel(ago(20))] },
        blocked: { reason: 'low on memory', since: ago(300) },
      }),
    );
    expect(JSON.stringify(details)).not.toContain('secret-host');
    expect(details).toMatchObject({
      links: [
        {
          role: 'consuming',
          state: 'open',
          attempt: 0,
          heartbeatTimeoutSeconds: 10,
          heartbeatThread: 'main',
          lastByteReceivedAgoMs: 1_234,
          lastByteSentAgoMs: 4_321,
        },
      ],
      lastLoss: { at: '2023-12-31T23:59:59.995Z', code: 'RMQ_LINK_LOST' },
      lastFailedAttempt: { at: '2023-12-31T23:59:59.996Z', code: 'RMQ_CONNECT_FAILED' },
      consumers: {
        wanted: 2,
        attached: 1,
        missing: ['Orders.onCreated'],
        paused: [],
        stuck: [{ queue: 'orders', to: 'orders.dead', deliveries: 3, since: '2023-12-31T23:59:59.700Z' }],
        standby: ['Waits.on'],
        notExclusive: ['Shares.on'],
      },
      refused: ['queue "q"'],
      publishing: { missing: ['the publisher'] },
      blocked: { reason: 'low on memory', since: '2023-12-31T23:59:59.700Z' },
      outbox: { queued: 0, maxMessages: 10 },
    });
  });
});
