/**
 * The accidents. Durations are chosen around the heartbeat timeout of the run, 2 s: a dead peer is noticed after 3 s, and
 * the broker drops a silent client after 4 to 6 s, so each silence is sometimes shorter and sometimes longer than that.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Accident, Part } from './accident.js';
import { DELETED_QUEUE } from './protocol.js';
import type { ServiceName, World } from './world.js';

const INSTANT = [0, 0] as const;
/** Around the 3 s after which a dead peer is noticed. */
const SILENCE_MS = [500, 6_000] as const;

const ofTheBroker: Accident[] = [
  {
    name: 'one connection closed by the operator',
    part: 'broker',
    lastsMs: INSTANT,
    async strike({ broker }, { draw }) {
      const connections = await broker.listConnections();
      const unlucky = connections.sort(byName)[Math.floor(draw * connections.length)];
      if (unlucky !== undefined) await broker.closeConnection(unlucky.pid, 'closed by the chaos run');
    },
  },
  {
    name: 'all connections closed by the operator',
    part: 'broker',
    lastsMs: INSTANT,
    strike: ({ broker }) => broker.closeAllConnections('closed by the chaos run'),
  },
  {
    name: 'connections dropped by the broker without a word',
    part: 'broker',
    lastsMs: INSTANT,
    strike: ({ broker }) => broker.killConnections(),
  },
  {
    name: 'broker killed and restarted',
    part: 'broker',
    lastsMs: [200, 4_000],
    async strike({ broker }, { lastsMs }, over) {
      await broker.kill();
      await sleep(lastsMs);
      await Promise.all([broker.restart(), broker.untilAcceptsTcp().then(over)]);
    },
  },
  {
    name: 'broker stopped and started in order',
    part: 'broker',
    lastsMs: [200, 3_000],
    async strike({ broker }, { lastsMs }) {
      await broker.stopApp();
      await sleep(lastsMs);
      await broker.startApp();
    },
  },
  {
    name: 'broker frozen for a moment',
    part: 'broker',
    lastsMs: [300, 1_800],
    strike: freezeBroker,
  },
  {
    name: 'broker frozen beyond detection',
    part: 'broker',
    lastsMs: [4_000, 8_000],
    strike: freezeBroker,
  },
  {
    name: 'memory alarm',
    part: 'broker',
    lastsMs: [1_000, 4_000],
    async strike({ broker }, { lastsMs }) {
      await broker.setMemoryAlarm('on');
      await sleep(lastsMs);
      await broker.setMemoryAlarm('off');
    },
  },
  {
    name: 'queue deleted',
    part: 'broker',
    // What is gone with its queue would count against the rate of an innocent subscription.
    goesWithVillains: false,
    lastsMs: INSTANT,
    shownBy: DELETED_QUEUE,
    strike: (world, _, over) => world.deleteQueue(over),
  },
];

export const ACCIDENTS: readonly Accident[] = [
  // Twice: else most of a short run would befall one link only.
  ...ofTheBroker.map((accident) => ({ ...accident, cards: 2 })),
  ...accidentsOfLink('producer'),
  ...accidentsOfLink('consumer'),
  {
    name: 'consumer killed and restarted',
    part: 'consumer',
    lastsMs: [0, 1_500],
    async strike({ services }, { lastsMs }) {
      await services.consumer.kill();
      await sleep(lastsMs);
      await services.consumer.start();
    },
  },
  {
    name: 'consumer process stopped and continued',
    part: 'consumer',
    lastsMs: SILENCE_MS,
    async strike({ services }, { lastsMs }) {
      services.consumer.signal('SIGSTOP');
      await sleep(lastsMs);
      services.consumer.signal('SIGCONT');
    },
  },
  blockedLoopOf('producer'),
  blockedLoopOf('consumer'),
];

async function freezeBroker({ broker }: World, { lastsMs }: { lastsMs: number }): Promise<void> {
  broker.freeze();
  await sleep(lastsMs);
  broker.thaw();
}

function accidentsOfLink(service: ServiceName): Accident[] {
  const part: Part = `${service} link`;
  const silence = (name: string, directions: 'both' | 'to-broker' | 'to-client'): Accident => ({
    name: `${part} silent ${name}`,
    part,
    lastsMs: SILENCE_MS,
    async strike({ proxies }, { lastsMs }) {
      const proxy = proxies[service];
      proxy.silence(directions);
      await sleep(lastsMs);
      proxy.heal();
    },
  });
  return [
    silence('both ways', 'both'),
    silence('towards the broker', 'to-broker'),
    silence('towards the client', 'to-client'),
    {
      name: `${part} reset`,
      part,
      lastsMs: INSTANT,
      strike: async ({ proxies }) => proxies[service].reset(),
    },
    {
      name: `${part} ended politely`,
      part,
      lastsMs: INSTANT,
      strike: async ({ proxies }) => proxies[service].fin(),
    },
    {
      name: `${part} cut within a frame`,
      part,
      lastsMs: [1_000, 1_000],
      async strike({ proxies }, { lastsMs, draw }) {
        const proxy = proxies[service];
        proxy.cutAfter(1 + Math.floor(draw * 500), draw < 0.5 ? 'to-broker' : 'to-client');
        await sleep(lastsMs);
        proxy.heal();
      },
    },
    {
      name: `${part} slow`,
      part,
      lastsMs: [2_000, 4_000],
      async strike({ proxies }, { lastsMs, draw }) {
        const proxy = proxies[service];
        proxy.latency(100 + draw * 500);
        await sleep(lastsMs);
        proxy.heal();
      },
    },
  ];
}

function blockedLoopOf(service: ServiceName): Accident {
  return {
    name: `${service}'s event loop blocked`,
    part: service,
    lastsMs: [500, 7_000],
    strike: ({ services }, { lastsMs }) => services[service].blockEventLoop(lastsMs),
  };
}

function byName(one: { userProvidedName: string }, other: { userProvidedName: string }): number {
  return one.userProvidedName < other.userProvidedName ? -1 : 1;
}
