import { describe, expect, it } from '@jest/globals';
import type { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { useDatabase } from '../support/database-fixture.js';
import { useFaults } from '../support/fault-fixture.js';
import { Fleet } from '../support/children/fleet.js';
import { until } from '../support/until.js';

const EXAMPLE = new URL('../../examples/transactional-outbox/', import.meta.url);
const PROGRAMS = new URL('./programs/', import.meta.url);
const SHOP = new URL('shop/main.ts', EXAMPLE);
const WAREHOUSE = new URL('warehouse/main.ts', EXAMPLE);
const NAIVE_SHOP = new URL('naive-shop.ts', PROGRAMS);
const NAIVE_WAREHOUSE = new URL('naive-warehouse.ts', PROGRAMS);

const PAYING = ['ada', 'ben', 'cleo', 'dan'];
const POOR = 'poor';
const KILLS = 6;
const SEVERAL = { shops: 2, warehouses: 2 };
const ONE_EACH = { shops: 1, warehouses: 1 };

interface Programs {
  readonly shop: URL;
  readonly warehouse: URL;
  readonly naive?: 'waits' | 'forgets';
  /** The program that reaches the broker through this proxy, if any. */
  readonly proxied?: { readonly who: 'shop' | 'warehouse'; readonly proxy: FaultProxy };
}

interface Seen {
  readonly id: string;
  readonly customer: string;
  readonly number: number;
}

const faults = useFaults({ ownBroker: {} });
const database = useDatabase(new URL('schema.sql', EXAMPLE));

/** Shops, warehouses and buyers on a vhost and a database of their own. */
class Town {
  readonly shops: Fleet;
  readonly warehouses: Fleet;
  readonly answers = new Map<number, number>();
  #isOver = false;
  #buyers: Promise<void>[] = [];

  constructor(programs: Programs) {
    const { shop, warehouse, naive, proxied } = programs;
    const envOf = (who: 'shop' | 'warehouse'): NodeJS.ProcessEnv => ({
      RMQ_URLS: proxied?.who === who ? proxied.proxy.url(faults.vhost.url) : faults.vhost.url,
      DATABASE_URL: database.url,
      PORT: '0',
      NAIVE: naive,
    });
    this.shops = new Fleet(shop, /open: \S+/, envOf('shop'));
    this.warehouses = new Fleet(warehouse, /ships/, envOf('warehouse'));
  }

  static async open(members: { shops: number; warehouses: number }, programs: Programs): Promise<Town> {
    const customers = [...PAYING.map((name) => `('${name}', 1000000)`), `('${POOR}', 0)`].join(', ');
    await database.pool.query(`INSERT INTO customers (name, credit) VALUES ${customers}`);
    const town = new Town(programs);
    faults.afterwards(() => town.close());
    await Promise.all([town.shops.start(members.shops), town.warehouses.start(members.warehouses)]);
    // Before that a message from outside of an outbox has no queue to go to, and is returned.
    await until('every warehouse consumes', async () => (await consumers()) >= members.warehouses, {
      timeoutMs: 30_000,
    });
    return town;
  }

  /** Places one order with any of the shops. @returns the answer's code; 0: the shop died over it */
  async buy(customer: string): Promise<number> {
    const shop = this.shops.ready[Math.floor(Math.random() * this.shops.ready.length)];
    const url = /open: (\S+)/.exec(shop?.stdout ?? '')?.[1];
    const code = url === undefined ? 0 : await this.#post(`${url}/orders`, { customer, price: 1 });
    this.answers.set(code, (this.answers.get(code) ?? 0) + 1);
    return code;
  }

  /** Until {@link stopBuying}, several at a time; one buyer cannot pay. */
  startBuying(): void {
    this.#buyers = Array.from({ length: 1 + PAYING.length }, async (_, buyer) => {
      while (!this.#isOver) {
        const customer = buyer === 0 ? POOR : PAYING[buyer % PAYING.length]!;
        // Nobody serves at this moment: ask again at the next one.
        if ((await this.buy(customer)) === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
  }

  async stopBuying(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#buyers);
  }

  /** kill -9, in turn, of any shop and any warehouse, whenever some 15 more shipments are made and both fleets work. */
  async killInTurn(kills: number): Promise<void> {
    for (let kill = 0; kill < kills; kill++) {
      await Promise.all([this.shops.untilReady(), this.warehouses.untilReady()]);
      const wanted = (await shipments()) + 15;
      await until('there are more shipments', async () => (await shipments()) >= wanted, { everyMs: 5 });
      await (kill % 2 === 0 ? this.shops : this.warehouses).killOne();
    }
    await Promise.all([this.shops.untilReady(), this.warehouses.untilReady()]);
  }

  async close(): Promise<void> {
    await this.stopBuying();
    await Promise.all([this.shops.killAll(), this.warehouses.killAll()]);
  }

  async #post(url: string, body: unknown): Promise<number> {
    const headers = { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(10_000);
    return fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal }).then(
      async (response) => (await response.arrayBuffer(), response.status),
      () => 0,
    );
  }
}

async function count(sql: string): Promise<number> {
  const [row] = await database.rows<{ count: string }>(`SELECT count(*) FROM ${sql}`);
  return Number(row?.count);
}

const consumers = async (): Promise<number> => (await faults.broker.listConsumers(faults.vhost.name)).length;
const shipments = (): Promise<number> => count('shipments');
const orders = (): Promise<number> => count('orders');
const lost = (): Promise<number> => count('orders WHERE NOT EXISTS (SELECT FROM shipments WHERE order_id = orders.id)');
const phantoms = (): Promise<number> =>
  count('shipments WHERE NOT EXISTS (SELECT FROM orders WHERE orders.id = order_id)');
const doubled = (): Promise<number> =>
  count('(SELECT FROM shipments GROUP BY order_id HAVING count(*) > 1) AS doubled');

async function untilQuiet(): Promise<void> {
  await until('the outbox is empty', async () => (await count('rmq_outbox')) === 0, { timeoutMs: 20_000 });
  await untilQueueIsEmpty();
}

/** No message is left, neither waiting nor with a consumer. */
async function untilQueueIsEmpty(): Promise<void> {
  const left = async (): Promise<number> => {
    const queues = await faults.broker.listQueues(faults.vhost.name);
    return queues.reduce((sum, { messages }) => sum + messages, 0);
  };
  await until('every message was handled', async () => (await left()) === 0, { timeoutMs: 20_000 });
}

describe('when shops and warehouses are killed, again and again', () => {
  it('ships every committed order exactly once, publishes nothing that was rolled back, and keeps the order of each customer', async () => {
    const seen: Seen[] = [];
    const auditor = faults.connect();
    auditor.subscribe({ queue: 'audit', exchange: 'shop', routingKey: '#' }, (payload) => {
      seen.push(payload as Seen);
    });
    await auditor.start();
    const town = await Town.open(SEVERAL, { shop: SHOP, warehouse: WAREHOUSE });
    town.startBuying();
    await town.killInTurn(KILLS);
    await town.stopBuying();
    await untilQuiet();

    expect({ lost: await lost(), doubled: await doubled(), phantoms: await phantoms() }).toEqual({
      lost: 0,
      doubled: 0,
      phantoms: 0,
    });
    expect(await shipments()).toBe(await orders());
    expect(await orders()).toBeGreaterThan(KILLS * 15);
    // Each of these was written to the outbox, and rolled back.
    expect(town.answers.get(422)).toBeGreaterThan(0);
    expect(seen.filter(({ customer }) => customer === POOR)).toEqual([]);
    for (const customer of PAYING) {
      const numbers = seen.filter((each) => each.customer === customer).map(({ number }) => number);
      const firstCopies = [...new Set(numbers)];
      expect(firstCopies).toEqual(firstCopies.map((_, index) => index + 1));
    }
  }, 90_000);

  it('control: a message published from inside its transaction ships an order that was never placed', async () => {
    const town = await Town.open(ONE_EACH, { shop: NAIVE_SHOP, warehouse: WAREHOUSE, naive: 'waits' });
    expect(await town.buy(POOR)).toBe(422);
    await until('it is shipped', async () => (await shipments()) === 1);
    expect({ orders: await orders(), phantoms: await phantoms() }).toEqual({ orders: 0, phantoms: 1 });
  }, 60_000);
});

describe.each([
  { accident: 'a relay dies between confirm and delete', who: 'shop', lost: 'to-client' },
  { accident: 'a warehouse dies between commit and ack', who: 'warehouse', lost: 'to-broker' },
] as const)('when $accident', ({ who, lost: silenced }) => {
  /** An order is shipped, and the word of it never arrives. */
  async function accident(warehouse: URL): Promise<void> {
    const proxy = await faults.proxy();
    const town = await Town.open(ONE_EACH, { shop: SHOP, warehouse, proxied: { who, proxy } });
    const fleet = who === 'shop' ? town.shops : town.warehouses;
    expect(await town.buy('ada')).toBe(201);
    await until('everything works', async () => (await shipments()) === 1);
    await untilQuiet();
    proxy.silence(silenced);
    expect(await town.buy('ben')).toBe(201);
    await until('this one is shipped too', async () => (await shipments()) === 2);
    await fleet.killAll();
    proxy.heal();
    await fleet.start(1);
    await untilQuiet();
  }

  it('ships nothing twice', async () => {
    await accident(WAREHOUSE);
    expect({ lost: await lost(), doubled: await doubled() }).toEqual({ lost: 0, doubled: 0 });
  }, 60_000);

  it('control: without an inbox it ships that order twice', async () => {
    await accident(NAIVE_WAREHOUSE);
    expect({ lost: await lost(), doubled: await doubled() }).toEqual({ lost: 0, doubled: 1 });
  }, 60_000);
});

describe('when the shop dies while the broker is away', () => {
  async function accident(town: Town): Promise<void> {
    await faults.broker.kill();
    for (const customer of PAYING) expect(await town.buy(customer)).toBe(201);
    await town.shops.killAll();
    await faults.broker.restart();
    await town.shops.start(1);
  }

  it('ships the orders that were placed meanwhile once both are back', async () => {
    const town = await Town.open(ONE_EACH, { shop: SHOP, warehouse: WAREHOUSE });
    await accident(town);
    await until('all are shipped', async () => (await shipments()) === PAYING.length, { timeoutMs: 20_000 });
    await untilQuiet();
    expect({ orders: await orders(), lost: await lost(), doubled: await doubled() }).toEqual({
      orders: PAYING.length,
      lost: 0,
      doubled: 0,
    });
  }, 60_000);

  it('control: publishing without an outbox loses them', async () => {
    const town = await Town.open(ONE_EACH, { shop: NAIVE_SHOP, warehouse: WAREHOUSE, naive: 'forgets' });
    await accident(town);
    // What is placed now is shipped after whatever was still to come.
    expect(await town.buy(PAYING[0]!)).toBe(201);
    await until('that one is shipped', async () => (await shipments()) > 0, { timeoutMs: 20_000 });
    await untilQueueIsEmpty();
    expect(await lost()).toBe(PAYING.length);
  }, 60_000);
});

describe('when the broker does not take a message', () => {
  it('keeps it, says why, holds back its aggregate only, and publishes it once there is a queue', async () => {
    const town = await Town.open(ONE_EACH, { shop: SHOP, warehouse: WAREHOUSE });
    await database.pool.query(
      `INSERT INTO rmq_outbox (aggregate, exchange, routing_key, payload)
       VALUES ('report', 'shop', 'report.made', '{"id": 1}'), ('report', 'shop', 'order.placed', '{"id": 2}')`,
    );
    expect(await town.buy('ada')).toBe(201);
    await until('the other aggregate is shipped', async () => (await shipments()) === 1);
    const [refused] = await until('it was tried', async () => {
      const rows = await database.rows<{ error: string; attempts: number }>(
        'SELECT last_error AS error, attempts FROM rmq_outbox WHERE attempts > 0',
      );
      return rows.length > 0 && rows;
    });
    expect(refused?.error).toMatch(/report\.made/);
    await until('only these two are left', async () => (await count('rmq_outbox')) === 2);

    const reports: unknown[] = [];
    const reader = faults.connect();
    reader.subscribe({ queue: 'reports', exchange: 'shop', routingKey: 'report.made' }, (payload) => {
      reports.push(payload);
    });
    await reader.start();
    await until('it is published, and the one behind it too', async () => (await count('rmq_outbox')) === 0, {
      timeoutMs: 15_000,
    });
    await until('it was read', () => reports.length > 0);
    expect(reports).toEqual([{ id: 1 }]);
  }, 60_000);
});
