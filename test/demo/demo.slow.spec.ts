import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { DemoProcess } from '../support/children/demo-process.js';
import { until } from '../support/until.js';

interface Order {
  readonly id: string;
  readonly state: string;
  readonly history: readonly { state: string; at: string }[];
}
interface Stats {
  readonly accepted: number;
  readonly shipped: number;
  readonly duplicates: number;
}
interface Health {
  readonly status: string;
  readonly details: { readonly rabbitmq?: { readonly status: string; readonly reason: string } };
}

const tea = { item: 'tea', quantity: 2 };

describe('the demo', () => {
  const faults = useFaults({ ownBroker: {} });

  async function launch(env: NodeJS.ProcessEnv = {}): Promise<DemoProcess> {
    const demo = await DemoProcess.launch({ RMQ_URLS: faults.vhost.url, ...env });
    faults.afterwards(() => demo.dispose());
    await demo.untilOpen();
    return demo;
  }

  const statsOf = async (demo: DemoProcess) => (await demo.get<Stats>('/orders/stats')).body;
  /** Readiness is not enough: a connection that is being restored is ready, too. */
  const untilUp = (demo: DemoProcess) =>
    until('it is up', async () => (await demo.get<Health>('/health')).body.status === 'ok', { timeoutMs: 20_000 });

  it('takes an order and ships it', async () => {
    const demo = await launch();
    const { code, body } = await demo.post<{ id: string }>('/orders', tea);
    expect(code).toBe(202);
    expect(body).toEqual({ id: expect.any(String) });
    const at = expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/);
    const order = await until('it is shipped', async () => {
      const found = await demo.get<Order>(`/orders/${body.id}`);
      expect(found.code).toBe(200);
      return found.body.state === 'shipped' ? found.body : undefined;
    });
    expect(order).toEqual({
      id: body.id,
      state: 'shipped',
      history: [
        { state: 'accepted', at },
        { state: 'shipped', at },
      ],
    });
    expect(await statsOf(demo)).toEqual({ accepted: 1, shipped: 1, duplicates: 0 });
  });

  it('refuses what is no order, and knows none that it did not take', async () => {
    const demo = await launch();
    for (const wrong of [
      {},
      { item: '', quantity: 1 },
      { item: 'tea' },
      { item: 'tea', quantity: 1.5 },
      { item: 'tea', quantity: '2' },
      null,
      [],
    ]) {
      expect((await demo.post('/orders', wrong)).code).toBe(400);
    }
    expect((await demo.get('/orders/unknown')).code).toBe(404);
    expect(await statsOf(demo)).toEqual({ accepted: 0, shipped: 0, duplicates: 0 });
  });

  it('has a page that says what runs here, health routes, and no faults unless asked for', async () => {
    const demo = await launch({ RMQ_HEARTBEAT_SECONDS: '7' });
    await untilUp(demo);
    const page = await demo.get<string>('/');
    expect(page.code).toBe(200);
    for (const link of ['/orders/stats', '/health', '/health/ready', '/health/live'])
      expect(page.body).toContain(`"${link}"`);
    expect((await demo.get('/health/live')).code).toBe(200);
    const health = await demo.get<Health>('/health');
    expect(health.body).toMatchObject({
      status: 'ok',
      details: { rabbitmq: { status: 'up', reason: 'open', links: [{ heartbeatTimeoutSeconds: 7 }] } },
    });
    expect((await demo.post('/faults/drop-connection', {})).code).toBe(404);
    expect((await demo.post('/faults/block-event-loop', { ms: 1 })).code).toBe(404);
    expect(demo.output).toContain('Using the broker of RMQ_URLS');
    expect(demo.output).not.toContain('guest');
  });

  it('loses its connections on demand, and no order by that', async () => {
    const demo = await launch({ DEMO_FAULTS: '1' });
    await untilUp(demo);
    for (let round = 0; round < 5; round++) {
      const orders = Array.from({ length: 20 }, () => demo.post('/orders', tea));
      expect((await demo.post<{ dropped: number }>('/faults/drop-connection', {})).body.dropped).toBeGreaterThan(0);
      expect((await Promise.all(orders)).map(({ code }) => code)).toEqual(orders.map(() => 202));
      await untilUp(demo);
    }
    await until('all are shipped', async () => (await statsOf(demo)).shipped === 100);
    expect((await statsOf(demo)).accepted).toBe(100);
  });

  it('blocks its event loop on demand', async () => {
    const demo = await launch({ DEMO_FAULTS: '1' });
    const blocking = demo.post<{ blockedMs: number }>('/faults/block-event-loop', { ms: 700 });
    expect((await blocking).body.blockedMs).toBeGreaterThanOrEqual(700);
    expect((await demo.post('/faults/block-event-loop', { ms: -1 })).code).toBe(400);
    expect((await demo.post('/faults/block-event-loop', { ms: 'long' })).code).toBe(400);
  });

  describe('while its event loop is blocked with orders in flight', () => {
    /** Beyond two to three timeouts, at which RabbitMQ gives a silent client up. */
    const [HEARTBEAT_SECONDS, BLOCKED_MS] = process.env['RMQ_LONG_TESTS'] === '1' ? [5, 30_000] : [2, 9_000];
    const orderIds = async (demo: DemoProcess, count: number): Promise<string[]> => {
      const answers = await Promise.all(Array.from({ length: count }, () => demo.post<{ id: string }>('/orders', tea)));
      // Who was told 503 has no promise: the time limit of a publish (30 s) may be over at the wake-up.
      return answers.flatMap(({ code, body }) => (code === 202 ? body.id : []));
    };
    /** Blocks it while it is busy with orders; resolves when it is awake again, with all orders. */
    async function blockInFlight(demo: DemoProcess): Promise<string[]> {
      const before = await orderIds(demo, 20);
      const meanwhile = orderIds(demo, 100);
      await demo.post('/faults/block-event-loop', { ms: BLOCKED_MS });
      return [...before, ...(await meanwhile)];
    }
    const connections = async (): Promise<string[]> =>
      (await faults.broker.listConnections(faults.vhost.name)).map(({ pid }) => pid).sort();
    async function expectAllShippedOnce(demo: DemoProcess, ids: readonly string[]): Promise<void> {
      await until('all are shipped', async () => (await statsOf(demo)).shipped >= ids.length, { timeoutMs: 20_000 });
      for (const id of ids) {
        const { history } = (await demo.get<Order>(`/orders/${id}`)).body;
        expect(history.map(({ state }) => state)).toEqual(['accepted', 'shipped']);
      }
    }
    const env = { DEMO_FAULTS: '1', RMQ_HEARTBEAT_SECONDS: `${HEARTBEAT_SECONDS}` };

    it('keeps its connections on the heartbeat thread, and ships each order once', async () => {
      const demo = await launch({ ...env, RMQ_HEARTBEAT_THREAD: 'worker' });
      await untilUp(demo);
      await orderIds(demo, 1);
      const before = await connections();
      expect(before).toHaveLength(2);
      const ids = await blockInFlight(demo);
      expect(ids).toHaveLength(120);
      await expectAllShippedOnce(demo, ids);
      expect(await connections()).toEqual(before);
      expect((await statsOf(demo)).duplicates).toBe(0);
      expect((await demo.get<Health>('/health')).body).toMatchObject({
        status: 'ok',
        details: { rabbitmq: { reconnects: 0, lastLoss: null, links: [{ heartbeatThread: 'worker' }, {}] } },
      });
      expect(demo.output).toMatch(/blocked for \d+\.\d s; the heartbeat thread went on/);
    }, 90_000);

    it('loses them without it, is back within two seconds of the wake-up, and says why', async () => {
      const demo = await launch(env);
      await untilUp(demo);
      await orderIds(demo, 1);
      const before = await connections();
      const ids = await blockInFlight(demo);
      await until(
        'it was lost, and is back',
        async () => {
          const { body } = await demo.get<Health & { details: { rabbitmq: { reconnects: number } } }>('/health');
          return body.status === 'ok' && body.details.rabbitmq.reconnects > 0;
        },
        { timeoutMs: 2_000 },
      );
      expect((await connections()).filter((pid) => before.includes(pid))).toEqual([]);
      await expectAllShippedOnce(demo, ids);
      expect((await demo.get<Health>('/health')).body).toMatchObject({
        details: {
          rabbitmq: { lastLoss: { code: 'RMQ_EVENT_LOOP_BLOCKED' }, eventLoop: { stalls: expect.any(Number) } },
        },
      });
      expect(demo.output).toMatch(
        new RegExp(`event loop blocked for \\d+\\.\\d s; the broker gave us up after 2 x ${HEARTBEAT_SECONDS} s`),
      );
      expect(demo.output).toContain("heartbeat.thread: 'worker'");
    }, 90_000);
  });

  it('ships every order it accepted while its broker is killed and comes back', async () => {
    const demo = await launch();
    await untilUp(demo);
    const closingTime = new AbortController();
    const isOver = () => closingTime.signal.aborted;
    const accepted: string[] = [];
    const seen = new Set<string>();
    const customer = async () => {
      while (!isOver()) {
        const { code, body } = await demo.post<{ id: string }>('/orders', tea);
        expect([202, 503]).toContain(code);
        if (code === 202) accepted.push(body.id);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const watcher = async () => {
      while (!isOver()) {
        seen.add((await demo.get<Health>('/health')).body.status);
        expect((await demo.get('/health/live')).code).toBe(200);
      }
    };
    const shopping = Promise.all([customer(), customer(), watcher()]);
    await until('orders flow', () => accepted.length > 50);
    await faults.broker.kill();
    await until('health tells', () => seen.has('degraded'));
    await faults.broker.restart();
    const soFar = accepted.length;
    await until('orders flow again', () => accepted.length > soFar + 50, { timeoutMs: 20_000 });
    closingTime.abort();
    await shopping;
    await until('all are shipped', async () => (await statsOf(demo)).shipped >= accepted.length, { timeoutMs: 20_000 });
    for (const id of accepted) expect((await demo.get<Order>(`/orders/${id}`)).body.state).toBe('shipped');
    expect((await demo.get<Health>('/health')).body.status).toBe('ok');
    expect(demo.hasEnded).toBe(false);
  }, 60_000);

  it('takes Ctrl-C for one wish, though the terminal and npm both pass it on', async () => {
    const demo = await launch();
    await untilUp(demo);
    void demo.kill('SIGINT');
    await until('it is stopping', () => demo.output.includes('Stopping'), { everyMs: 1 });
    expect(await demo.kill('SIGINT')).toEqual({ exitCode: 0, signal: null });
    expect(demo.output).toContain('Closed in');
  });

  it('drains and exits with 0 on SIGTERM, and the next one ships what it left', async () => {
    const demo = await launch();
    await untilUp(demo);
    const accepted: string[] = [];
    const orders = Array.from({ length: 300 }, async () => {
      // Who comes too late finds the shop closed: 503 or no connection, but never a promise that is not kept.
      const answer = await demo.post<{ id: string }>('/orders', tea).catch(() => undefined);
      if (answer?.code === 202) accepted.push(answer.body.id);
    });
    await until('some were accepted', () => accepted.length > 20, { everyMs: 1 });
    expect(await demo.kill('SIGTERM')).toEqual({ exitCode: 0, signal: null });
    await Promise.all(orders);
    expect(demo.output).toContain('Stopping');
    expect(await faults.broker.listConnections(faults.vhost.name)).toEqual([]);

    const queues = await faults.broker.listQueues(faults.vhost.name);
    const left = queues.reduce((sum, { messages }) => sum + messages, 0);
    const next = await launch();
    await until('what was left is shipped', async () => (await statsOf(next)).shipped === left);
  });

  it.each([
    ['PORT', 'shop'],
    ['RMQ_HEARTBEAT_SECONDS', '-3'],
    ['RMQ_HEARTBEAT_THREAD', 'moon'],
    ['RMQ_URLS', 'http://localhost'],
  ])('says in one sentence what is wrong with %s=%s, and exits with 1', async (name, value) => {
    const demo = await DemoProcess.launch({ RMQ_URLS: faults.vhost.url, [name]: value });
    faults.afterwards(() => demo.dispose());
    expect(await demo.ended).toEqual({ exitCode: 1, signal: null });
    const lines = demo.output.trim().split('\n');
    expect(lines.at(-1)).toContain(name === 'RMQ_URLS' ? 'urls[0]' : name);
    expect(demo.output).not.toMatch(/\n\s+at /);
  });

  it('says that its port is taken, and exits with 1', async () => {
    const first = await launch();
    const second = await DemoProcess.launch({ RMQ_URLS: faults.vhost.url, PORT: `${first.port}` });
    faults.afterwards(() => second.dispose());
    expect((await second.ended).exitCode).toBe(1);
    expect(second.output).toContain('set PORT to another one');
  });
});
