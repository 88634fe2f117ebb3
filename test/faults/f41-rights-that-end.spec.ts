import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { BrokerAddress } from '#engine/dialling/broker-address.js';
import type { CredentialsProvider, ExpiringCredentials } from '#engine/dialling/credentials.js';
import type { RmqConnectionOptions } from '#engine/connection/connection-options.js';
import type { RmqConnection } from '#engine/connection/rmq-connection.js';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import type { RmqError } from '#engine/errors/rmq-error.js';
import { type HealthVerdict, verdict } from '../../libs/rmq-keepalive/src/integrations/terminus/health-verdict.js';
import { type SignedToken, TokenAuthority, type TokenWishes } from '../../tools/broker/token-authority.js';
import { bareClient } from '../support/bare-amqplib.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

/** Short, and yet a third of it is more than a busy machine is late by. */
const LIFE_SECONDS = 4;
/** The sixth comes when five tokens are over: each is renewed at two thirds of its time. */
const RENEWALS = 6;

/** Longer than a token, shorter than patience. */
const SOON_MS = { timeoutMs: 15_000 };

const folder = await mkdtemp(join(tmpdir(), 'f41-'));
const authority = await TokenAuthority.create(folder);

describe('F41: when a token or a right ends while the link lives', () => {
  const faults = useFaults({ ownBroker: authority.brokerOptions });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** From 4.1 on the broker closes a connection whose token is over; before, it refuses what it has not allowed just before. */
  const closesAtExpiry = (): boolean => faults.broker.version >= '4.1';
  let issued: SignedToken[];
  beforeEach(() => {
    issued = [];
  });
  const issue = (wishes: Partial<TokenWishes> = {}): SignedToken => {
    const token = authority.issue({ lifeSeconds: LIFE_SECONDS, ...wishes });
    issued.push(token);
    return token;
  };
  const asCredentials = ({ value, expiresAt }: SignedToken): ExpiringCredentials => ({
    username: 'service',
    password: value,
    expiresAt,
  });
  const tokens: CredentialsProvider = () => asCredentials(issue());
  const address = (): BrokerAddress => ({
    hostname: '127.0.0.1',
    port: faults.broker.port,
    vhost: faults.vhost.name,
  });
  async function consuming(queue: string, options: Partial<RmqConnectionOptions>): Promise<RmqConnection> {
    const connection = faults.connect({ urls: [address()], ...options });
    connection.subscribe({ queue }, faults.oracle.consume);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 5_000 });
    return connection;
  }
  /** On the channel that is always there, and on a new one, for which the broker has no answer in its cache. */
  async function publishOnce(connection: RmqConnection, queue: string, id: string): Promise<void> {
    await faults.oracle.publish(connection, '', queue, id);
    const freshChannel = { publisher: connection.createPublisher() } as unknown as RmqConnection;
    await faults.oracle.publish(freshChannel, '', queue, `${id}-fresh`);
  }
  const lostBecause = (): unknown[] =>
    faults.oracle.eventsOf('link-lost').map(({ event }) => (event.cause as RmqError).code);
  function expectNoTokenIn(...things: unknown[]): void {
    const printed = inspect(things, { depth: 12, showHidden: true, maxStringLength: Infinity });
    expect(issued.length).toBeGreaterThan(0);
    for (const { value } of issued) {
      expect(printed.includes(value)).toBe(false);
      expect(printed.includes(value.split('.')[2] as string)).toBe(false);
    }
  }

  it('renews tokens on the live link: nothing is refused, and no link is lost, across five of their ends', async () => {
    const connections = {
      main: await consuming('main', { credentials: tokens, heartbeat: { thread: 'main' } }),
      worker: await consuming('worker', { credentials: tokens, heartbeat: { thread: 'worker' } }),
      shared: await consuming('shared', { credentials: tokens, links: 'shared' }),
    };
    const renewals = new Map<string, number>();
    for (const [name, connection] of Object.entries(connections))
      for (const role of name === 'shared' ? ['shared'] : ['consuming', 'publishing']) {
        renewals.set(`${name} ${role}`, 0);
        connection.on('credentials-renewed', (event) => {
          if (event.role === role) renewals.set(`${name} ${role}`, (renewals.get(`${name} ${role}`) ?? 0) + 1);
        });
      }
    for (let id = 0; Math.min(...renewals.values()) < RENEWALS && faults.oracle.rejected.length === 0; id++) {
      for (const [queue, connection] of Object.entries(connections))
        await publishOnce(connection, queue, `${queue}-${id}`);
      // The rate of the traffic, not a wait: what ends the loop is that every link was renewed so often.
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(faults.oracle.duplicates).toBe(0);
    expect(lostBecause()).toEqual([]);
    for (const connection of Object.values(connections)) {
      expect(connection.status()).toMatchObject({ state: { name: 'open' }, reconnects: 0 });
      for (const link of connection.status().links) expect(link.credentialsExpireAt).toBeGreaterThan(Date.now());
    }
    const events = faults.oracle.events.map(({ event }) => event);
    expectNoTokenIn(
      events,
      events.map((event) => describeEvent(event)?.sentence),
      Object.values(connections).map((connection) => [connection, connection.status()]),
    );
  }, 45_000);

  it('control: without renewal the same token ends the link, or its rights', async () => {
    const { value, expiresAt } = issue({ lifeSeconds: 1 });
    const connection = await consuming('work', { credentials: { username: 'service', password: value } });
    const bare = await bareClient(
      faults,
      faults.broker.urlFor(faults.vhost.name, { user: 'service', password: value }),
    );
    await publishOnce(connection, 'work', 'before');
    expect(faults.oracle.rejected).toEqual([]);
    await until('the token is over', () => Date.now() > expiresAt);
    if (closesAtExpiry()) {
      await until('both links were closed', () => lostBecause().length >= 2);
      await until('so was that of bare amqplib', () => !bare.isSessionOpen);
    } else {
      await publishOnce(connection, 'work', 'after');
      // The other channel is refused as well, once it was idle for a moment and its answers from before are forgotten.
      const refused = new Map(faults.oracle.rejected.map(({ id, error }) => [id, (error as RmqError).code]));
      expect(refused.get('after-fresh')).toBe('RMQ_PUBLISH_REFUSED');
      await expect(bare.channel.assertQueue('other')).rejects.toThrow(/403.*token has expired/);
    }
  });

  it('asks a provider that fails again, before the token is over, and logs no secret of its error', async () => {
    let failures = 0;
    const connection = await consuming('work', {
      credentials: () => {
        if (issued.length === 2 && failures++ === 0) throw new Error(`no answer for ${issued[0]?.value}`);
        return asCredentials(issue({ lifeSeconds: 6 }));
      },
    });
    await publishOnce(connection, 'work', 'm');
    await until(
      'it failed, and a later answer was taken',
      () => {
        const [missing] = faults.oracle.eventsOf('credentials-missing');
        return missing && faults.oracle.eventsOf('credentials-renewed').some(({ at }) => at > missing.at);
      },
      SOON_MS,
    );
    const [missing] = faults.oracle.eventsOf('credentials-missing');
    expect(missing?.event.cause).toMatchObject({ code: 'RMQ_NO_CREDENTIALS' });
    expect(lostBecause()).toEqual([]);
    expectNoTokenIn(
      faults.oracle.events.map(({ event }) => [event, describeEvent(event)]),
      connection.status(),
    );
  }, 20_000);

  it('dials anew before the end when the broker cannot answer the update: no publish is refused', async () => {
    const connection = await consuming('work', { credentials: () => asCredentials(issue({ lifeSeconds: 6 })) });
    let lostAt = Infinity;
    connection.on('link-lost', () => (lostAt = Math.min(lostAt, Date.now())));
    await faults.oracle.publish(connection, '', 'work', 'before');
    const ofPublishingLink = issued.at(-1)?.expiresAt ?? 0;
    await faults.broker.setMemoryAlarm('on');
    faults.afterwards(() => faults.broker.setMemoryAlarm('off'));
    const blocked = faults.oracle.publish(connection, '', 'work', 'blocked', 60_000);
    await until('the publishing link was given up for another one', () => lostBecause().length > 0, SOON_MS);
    expect(lostAt).toBeLessThan(ofPublishingLink);
    await until('the first tokens are over', () => issued.slice(0, 2).every(({ expiresAt }) => Date.now() > expiresAt));
    await faults.broker.setMemoryAlarm('off');
    await blocked;
    await publishOnce(connection, 'work', 'after');
    await faults.oracle.expectNothingLost();
    expect(faults.oracle.rejected).toEqual([]);
    expect(new Set(lostBecause())).toEqual(new Set(['RMQ_CREDENTIALS_CHANGED']));
  }, 30_000);

  it('is back at once when the broker refuses a renewed token, and the next one is good', async () => {
    const garbage = 'no token at all';
    let renewals = 0;
    const connection = await consuming('work', {
      links: 'shared',
      credentials: () =>
        (renewals++ === 1 ? { username: 'service', password: garbage } : tokens()) as ExpiringCredentials,
    });
    await until('the broker has thrown us out', () => lostBecause().length > 0, SOON_MS);
    await until('it is back', () => connection.status().reconnects === 1 && connection.state.name === 'open');
    expect(renewals).toBe(3);
    await publishOnce(connection, 'work', 'm');
    await faults.oracle.expectNothingLost();
    expect(lostBecause()).toEqual(['RMQ_CREDENTIALS_CHANGED']);
    expect(faults.oracle.eventsOf('link-lost')[0]?.event.cause.message).toMatch(/refused to take them.*530/);
  }, 20_000);

  it('changes to another user by a new link before the old one is gone, when what is in hand is done', async () => {
    const users = ['first', 'second'];
    for (const user of users) {
      await faults.broker.addUser(user, `password of ${user}`);
      await faults.broker.setPermissions(user, faults.vhost.name);
      faults.afterwards(() => faults.broker.deleteUser(user).catch(() => undefined));
    }
    let asked = 0;
    const connection = await consuming('work', {
      links: 'shared',
      credentials: () => {
        const user = users[Math.min(asked++, 1)] as string;
        return {
          username: user,
          password: `password of ${user}`,
          expiresAt: Date.now() + (asked > 1 ? 60_000 : 3_000),
        };
      },
    });
    const handled: string[] = [];
    let isInHand = false;
    connection.subscribe({ queue: 'slow' }, async (payload) => {
      isInHand = true;
      // Until the broker knows no consumer of ours any more: the change is under way.
      await until(
        'it is cancelled',
        async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 0,
        SOON_MS,
      );
      handled.push((payload as { id: string }).id);
    });
    await until('both are attached', () => connection.status().consumers.attached === 2);
    await connection.publisher.publish('', 'slow', { id: 'in hand' });
    await until('it is in hand', () => isInHand);
    const userOfLink = async (): Promise<unknown> => (await faults.broker.listConnections(faults.vhost.name))[0]?.user;
    expect(await userOfLink()).toBe('first');
    await until('the second user is in', async () => (await userOfLink()) === 'second', SOON_MS);
    await faults.broker.deleteUser('first');
    await until('it is open', () => connection.state.name === 'open');
    await publishOnce(connection, 'work', 'm');
    await faults.oracle.expectNothingLost();
    expect(lostBecause()).toEqual(['RMQ_CREDENTIALS_CHANGED']);
    expect(handled).toEqual(['in hand']);
    const queues = await faults.broker.listQueues(faults.vhost.name);
    expect(queues.find(({ name }) => name === 'slow')).toMatchObject({ messages: 0, consumers: 1 });
  });

  it('says that a token is too long for a login, which the broker answers with a reset', async () => {
    const password = 'x'.repeat(20_000);
    const connection = faults.connect({ urls: [address()], credentials: { username: 'service', password } });
    // Control: amqplib alone names the reset only.
    const url = faults.broker.urlFor(faults.vhost.name, { user: 'service', password });
    const bare = expect(bareClient(faults, url)).rejects.toThrow(/ECONNRESET|EPIPE|closed abruptly/);
    void connection.start();
    await until('it failed', () => faults.oracle.eventsOf('attempt-failed').length > 0);
    await bare;
    const message = faults.oracle.eventsOf('attempt-failed')[0]?.event.cause.message;
    expect(message).toMatch(/20000 bytes.*initial_frame_max/);
    expect(message).not.toContain(password.slice(0, 100));
  });

  describe('when rights are taken from a live link', () => {
    const NO_RIGHTS_HERE = 'rabbitmq.read:*/unrelated';
    const health = (connection: RmqConnection): HealthVerdict => verdict(connection.status(), Date.now());
    const refusedNow = (connection: RmqConnection): string[] =>
      (connection.status().accessRefused?.refusals ?? []).map(({ entity }) => entity);
    const isWhole = (connection: RmqConnection): boolean =>
      health(connection).status === 'up' && connection.status().consumers.attached === 1;

    it('asks the provider again, slowly, and is whole at once with the first good token', async () => {
      let scope: string | undefined;
      let answeredAt = 0;
      const connection = await consuming('work', {
        credentials: () => {
          answeredAt = performance.now();
          return asCredentials(issued.length < 2 ? issue() : issue({ lifeSeconds: 600, scope }));
        },
      });
      await publishOnce(connection, 'work', 'before');
      scope = NO_RIGHTS_HERE;
      await until(
        'both links have the poor token',
        () => connection.status().links.every((link) => (link.credentialsExpireAt ?? 0) > Date.now() + 300_000),
        SOON_MS,
      );
      await publishOnce(connection, 'work', 'refused');
      await faults.broker.deleteQueue('work', faults.vhost.name);
      await until('queue and exchange are named', () => refusedNow(connection).length >= 2);
      expect(refusedNow(connection)).toEqual(expect.arrayContaining(['the default exchange', 'queue "work"']));
      expect(health(connection)).toMatchObject({ status: 'degraded', reason: 'access-refused' });
      const askedSoFar = issued.length;
      scope = undefined;
      await until('a good token was given', () => issued.length > askedSoFar, SOON_MS);
      const givenAt = answeredAt;
      await until('all is as before', () => isWhole(connection));
      expect(faults.tookMs(givenAt)).toBeLessThan(2_000);
      await publishOnce(connection, 'work', 'after');
      await until('it was consumed', () => faults.oracle.consumed.has('after'));
      expect(lostBecause()).toEqual([]);
      const times = faults.oracle.eventsOf('access-restored').length;
      expect([faults.oracle.eventsOf('access-refused').length, times]).toEqual([1, 1]);
      expectNoTokenIn(faults.oracle.events, connection.status());
    }, 30_000);

    it('knows without a publish that a permission was given back, and puts nothing into a queue to find out', async () => {
      await faults.broker.addUser('clerk', 'clerk');
      faults.afterwards(() => faults.broker.deleteUser('clerk'));
      await faults.broker.setPermissions('clerk', faults.vhost.name);
      const connection = await consuming('work', { credentials: { username: 'clerk', password: 'clerk' } });
      await publishOnce(connection, 'work', 'before');
      await faults.broker.setPermissions('clerk', faults.vhost.name, { configure: '.*', write: '', read: '.*' });
      await publishOnce(connection, 'work', 'refused');
      expect(refusedNow(connection)).toEqual(['the default exchange']);
      expect(health(connection)).toMatchObject({ status: 'degraded', reason: 'access-refused' });
      await faults.broker.setPermissions('clerk', faults.vhost.name);
      const delivered = connection.status().counters.delivered;
      await until('it knows', () => isWhole(connection), SOON_MS);
      expect(connection.status().counters.delivered).toBe(delivered);
      await publishOnce(connection, 'work', 'after');
      await faults.oracle.expectNothingLost();
    }, 20_000);

    it('knows it though the exchange was deleted meanwhile, and asks the provider no more', async () => {
      const { name: vhost } = faults.vhost;
      await faults.broker.addUser('clerk', 'clerk');
      faults.afterwards(() => faults.broker.deleteUser('clerk'));
      await faults.broker.setPermissions('clerk', vhost);
      let asked = 0;
      const connection = await consuming('work', {
        credentials: () => {
          asked += 1;
          return { username: 'clerk', password: 'clerk' };
        },
      });
      // Not ours: nobody makes it again.
      const { channel } = await bareClient(faults);
      await channel.assertExchange('shop', 'fanout');
      await channel.bindQueue('work', 'shop', '');
      await connection.publisher.publish('shop', '', { id: 'before' });
      await faults.broker.setPermissions('clerk', vhost, { configure: '.*', write: '^$', read: '.*' });
      // A new channel, for which the broker has no answer in its cache.
      const fresh = connection.createPublisher();
      await expect(fresh.publish('shop', '', { id: 'refused' })).rejects.toMatchObject({ code: 'RMQ_PUBLISH_REFUSED' });
      expect(refusedNow(connection)).toEqual(['exchange "shop"']);
      await faults.broker.deleteExchange('shop', vhost);
      await faults.broker.setPermissions('clerk', vhost);
      await until('it knows', () => isWhole(connection), SOON_MS);
      const askedSoFar = asked;
      await faults.oracle.publish(connection, '', 'work', 'after');
      await faults.oracle.expectNothingLost();
      expect(asked).toBe(askedSoFar);
      expect(lostBecause()).toEqual([]);
    }, 20_000);
  });
});
