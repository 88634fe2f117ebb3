import { describe, expect, it } from '@jest/globals';
import { Injectable, type INestApplication, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { connect } from 'amqplib';
import { RmqConnection, RmqKeepaliveModule, Subscribe } from 'nestjs-rmq-keepalive';
import { RmqHealthModule } from 'nestjs-rmq-keepalive/terminus';
import type { FaultProxy } from '#testing/proxy/fault-proxy.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const HEARTBEAT_SECONDS = 2;
const DETECTED_WITHIN_MS = HEARTBEAT_SECONDS * 1_500 + 1_000;
const PROBE_EVERY_MS = 5;
const NEAR_MS = 50;

interface Answer {
  readonly at: number;
  readonly tookMs: number;
  readonly code: number;
  readonly body: { status: string; details: Record<string, { status: string; reason: string }> };
}

/** Asks a hundred times a second and keeps every answer; as often, between, the liveness route, which does nothing at all. */
class Probe {
  readonly answers: Answer[] = [];
  readonly alive: { readonly at: number; readonly tookMs: number }[] = [];
  readonly failures: unknown[] = [];
  #timer: NodeJS.Timeout | undefined;
  #asked = 0;

  constructor(private readonly url: string) {}

  start(): void {
    this.#timer = setInterval(() => void this.#ask(), PROBE_EVERY_MS);
  }

  forget(): void {
    this.answers.length = 0;
    this.alive.length = 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get last(): Answer | undefined {
    return this.answers.at(-1);
  }

  /** The usual answer. */
  get usualMs(): number {
    return quantile(
      this.answers.map(({ tookMs }) => tookMs),
      0.5,
    );
  }

  /** The usual answer of the route that does nothing. */
  get controlMs(): number {
    return quantile(
      this.alive.map(({ tookMs }) => tookMs),
      0.5,
    );
  }

  /** What the slowest answer took longer than a route that does nothing. */
  get longestWaitMs(): number {
    return Math.max(...this.#waits);
  }

  get #waits(): number[] {
    return this.answers.map((answer) => answer.tookMs - this.#noiseAround(answer));
  }

  #noiseAround({ at, tookMs }: Answer): number {
    const near = this.alive.filter(
      (other) => other.at < at + tookMs + NEAR_MS && other.at + other.tookMs > at - NEAR_MS,
    );
    return Math.max(0, ...near.map((other) => other.tookMs));
  }

  /** In turn: an answer that keeps the event loop busy must not hold up the other route. */
  async #ask(): Promise<void> {
    try {
      await (this.#asked++ % 2 === 0 ? this.#askForHealth() : this.#askForLife());
    } catch (thrown) {
      this.failures.push(thrown);
    }
  }

  async #askForHealth(): Promise<void> {
    const at = performance.now();
    const response = await fetch(this.url);
    const body = (await response.json()) as Answer['body'];
    this.answers.push({ at, code: response.status, body, tookMs: performance.now() - at });
  }

  async #askForLife(): Promise<void> {
    const at = performance.now();
    await (await fetch(`${this.url}/live`)).json();
    this.alive.push({ at, tookMs: performance.now() - at });
  }
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Infinity;
}

/** A busy machine holds up both routes. An answer that waited for the broker would take as long as the accident: seconds. */
function expectQuickAnswers(probe: Probe): void {
  expect(probe.usualMs).toBeLessThanOrEqual(2 * probe.controlMs + 3);
  expect(probe.longestWaitMs).toBeLessThanOrEqual(1_000);
}

describe('F32: while /health is asked a hundred times a second and the world breaks', () => {
  const faults = useFaults({ ownBroker: {} });

  async function boot(
    url: string,
    options: { downAfterMs?: number } = {},
  ): Promise<{ app: INestApplication; probe: Probe }> {
    @Injectable()
    class Consumer {
      @Subscribe({ queue: 'work' })
      onMessage(): void {
        // the deliveries do not matter here
      }
    }
    @Module({
      imports: [
        RmqKeepaliveModule.forRoot({
          urls: url,
          startup: 'wait',
          heartbeat: { timeoutSeconds: HEARTBEAT_SECONDS },
          connectTimeoutMs: 2_000,
          ...options,
        }),
        RmqHealthModule.forRoot(),
      ],
      providers: [Consumer],
    })
    class AppModule {}
    const app = await NestFactory.create(AppModule, { logger: false });
    await app.listen(0, '127.0.0.1');
    faults.afterwards(() => app.close());
    const probe = new Probe(`${(await app.getUrl()).replace('[::1]', '127.0.0.1')}/health`);
    probe.start();
    faults.afterwards(() => probe.stop());
    await until(
      'health is well, and the routes are warm',
      () => probe.alive.length > 50 && probe.last?.body.status === 'ok',
    );
    probe.forget();
    return { app, probe };
  }

  const reasonOf = (answer: Answer | undefined): string | undefined => answer?.body.details['rabbitmq']?.reason;

  async function proxied(): Promise<FaultProxy> {
    return faults.proxy();
  }

  it('tells a silent link within one and a half timeouts and a second, and its end, without one slow or failed answer', async () => {
    const proxy = await proxied();
    const { app, probe } = await boot(proxy.url(faults.vhost.url));
    const connection = app.get(RmqConnection);

    proxy.silence('both');
    const silentAt = performance.now();
    await until('health says that the link is lost', () => probe.last?.body.status === 'degraded', {
      timeoutMs: 10_000,
      everyMs: 5,
    });
    expect(faults.tookMs(silentAt)).toBeLessThanOrEqual(DETECTED_WITHIN_MS);
    proxy.heal();
    await until('health is well again', () => probe.last?.body.status === 'ok' && connection.state.name === 'open');

    expect(probe.failures).toEqual([]);
    expect(probe.answers.every(({ code }) => code === 200)).toBe(true);
    expectQuickAnswers(probe);
  });

  it('never says well while the broker is frozen, says down after downAfterMs, and answers at once all the while', async () => {
    const { probe } = await boot(faults.vhost.url, { downAfterMs: 1_000 });

    faults.broker.freeze();
    const frozenAt = performance.now();
    const told = (): Answer[] => probe.answers.filter(({ at }) => at > frozenAt + DETECTED_WITHIN_MS);
    let toldWhileFrozen: Answer[] = [];
    try {
      await until('health says down, again and again', () => told().length > 20 && probe.last?.code === 503, {
        timeoutMs: 15_000,
      });
      toldWhileFrozen = told();
    } finally {
      faults.broker.thaw();
    }
    expect(toldWhileFrozen.length).toBeGreaterThan(20);
    expect(toldWhileFrozen.filter(({ body }) => body.status === 'ok')).toEqual([]);
    await until('health is well again', () => probe.last?.body.status === 'ok', { timeoutMs: 15_000 });
    expect(probe.failures).toEqual([]);
    expectQuickAnswers(probe);
  }, 60_000);

  it('agrees with the connection at every answer while an operator closes it again and again', async () => {
    const { app, probe } = await boot(faults.vhost.url);
    const connection = app.get(RmqConnection);
    const states: { at: number; name: string }[] = [{ at: 0, name: 'open' }];
    const watching = connection.state$.subscribe(({ name }) => states.push({ at: performance.now(), name }));
    faults.afterwards(() => watching.unsubscribe());
    for (let round = 0; round < 5; round++) {
      const { length } = states;
      await faults.broker.closeAllConnections('maintenance');
      await until('it was lost, and is open again', () => states.length > length + 1 && states.at(-1)?.name === 'open');
    }
    await until('health is well again', () => probe.last?.body.status === 'ok');
    // An answer may be about any moment between the question and itself.
    const possible = ({ at, tookMs }: Answer): string[] => {
      const before = states.findLast((state) => state.at <= at);
      return [before, ...states.filter((state) => state.at > at && state.at <= at + tookMs)].map(
        (state) => state?.name ?? '',
      );
    };
    for (const answer of probe.answers) expect(possible(answer)).toContain(reasonOf(answer));
    expect(new Set(probe.answers.map(reasonOf)).size).toBeGreaterThan(1);
  });

  it('control: a probe that opens a connection of its own hangs while the broker is frozen, and is well while our link is dead', async () => {
    faults.broker.freeze();
    try {
      const session = connect(faults.vhost.url, { timeout: 500 });
      await expect(session).rejects.toThrow(/ETIMEDOUT/);
    } finally {
      faults.broker.thaw();
    }
    const proxy = await proxied();
    const { app } = await boot(proxy.url(faults.vhost.url));
    proxy.silence('both');
    await until('our link is lost', () => app.get(RmqConnection).state.name !== 'open', { timeoutMs: 10_000 });
    const fresh = await connect(faults.vhost.url);
    await fresh.close();
    expect(app.get(RmqConnection).state.name).not.toBe('open');
  });
});
