import { describe, expect, it, jest } from '@jest/globals';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  Injectable,
  type INestApplication,
  type ModuleMetadata,
  SetMetadata,
  UseGuards,
  type VersioningOptions,
  VersioningType,
} from '@nestjs/common';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { OptionsError, RmqConnection, Subscribe, type RmqConnectionOptions } from 'nestjs-rmq-keepalive';
import { RmqHealthIndicator, RmqHealthModule, type RmqHealthOptions } from 'nestjs-rmq-keepalive/terminus';
import { findFreePort } from '#testing/base/free-ports.js';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

interface Answer {
  readonly code: number;
  readonly text: string;
  readonly body: {
    status: string;
    details: Record<string, { status: string; reason: string; since: string } & Record<string, unknown>>;
  };
}

async function ask(app: INestApplication, path: string): Promise<Answer> {
  const response = await fetch(`${await app.getUrl()}${path}`);
  const text = await response.text();
  return { code: response.status, text, body: JSON.parse(text) as Answer['body'] };
}

@Injectable()
class Orders {
  @Subscribe({ queue: 'orders', ifQueueMissing: 'wait' })
  onOrder() {}
}

describe('RmqHealthModule', () => {
  const nest = useNest({ ownBroker: {} });

  async function serve(
    options: RmqHealthOptions = {},
    connection: Partial<RmqConnectionOptions> = {},
    metadata: ModuleMetadata = {},
  ): Promise<INestApplication> {
    const app = await nest.bootBare({
      ...metadata,
      imports: [nest.forRoot(connection), RmqHealthModule.forRoot(options), ...(metadata.imports ?? [])],
    });
    await app.listen(0, '127.0.0.1');
    return app;
  }

  const until200 = (app: INestApplication, path: string) =>
    until(`${path} answers 200`, async () => (await ask(app, path)).code === 200);

  it('answers 200 with the reason and since when while the connection is open, and nothing else', async () => {
    const app = await serve();
    for (const path of ['/health', '/health/ready']) {
      const { code, body, text } = await ask(app, path);
      expect(code).toBe(200);
      expect(body.status).toBe('ok');
      expect(body.details).toEqual({
        rabbitmq: { status: 'up', reason: 'open', since: expect.stringMatching(/^\d{4}-.*Z$/) },
      });
      expect(text).not.toContain('127.0.0.1');
    }
    expect((await ask(app, '/health/live')).code).toBe(200);
  });

  it('answers 503 before the first open and 200 after it; it is live all the time', async () => {
    const port = await findFreePort('127.0.0.1');
    let address = `amqp://127.0.0.1:${port}`;
    const app = await serve({}, { urls: () => [address], startup: 'background' });
    const booting = await ask(app, '/health/ready');
    expect(booting.code).toBe(503);
    expect(booting.body.details['rabbitmq']?.status).toBe('down');
    expect(['connecting', 'backing-off']).toContain(booting.body.details['rabbitmq']?.reason);
    expect((await ask(app, '/health/live')).code).toBe(200);
    address = nest.vhost.url;
    await until200(app, '/health/ready');
  });

  it('says degraded, still 200, while a lost connection is being restored, and down beyond downAfterMs', async () => {
    const proxy = await nest.proxy();
    const app = await serve({}, { urls: proxy.url(nest.vhost.url), downAfterMs: 1_500 });
    await proxy.close();
    const lost = await until('the loss shows', async () => {
      const answer = await ask(app, '/health');
      return answer.body.status === 'ok' ? undefined : answer;
    });
    expect(lost.code).toBe(200);
    expect(lost.body.status).toBe('degraded');
    expect(lost.body.details['rabbitmq']).toMatchObject({ status: 'degraded' });
    const down = await until('it is down', async () => {
      const answer = await ask(app, '/health');
      return answer.code === 503 ? answer : undefined;
    });
    const { since, status } = down.body.details['rabbitmq']!;
    expect(status).toBe('down');
    expect(Date.now() - Date.parse(since)).toBeGreaterThanOrEqual(1_500);
    expect((await ask(app, '/health/live')).code).toBe(200);
  });

  it('says degraded while a consumer is missing, and names it in the details', async () => {
    const app = await serve({ details: true }, { startup: 'background' }, { providers: [Orders] });
    await app.get(RmqConnection).whenOpen({ timeoutMs: 5_000 });
    const { code, body } = await ask(app, '/health');
    expect(code).toBe(200);
    expect(body.details['rabbitmq']).toMatchObject({
      status: 'degraded',
      reason: 'consumer-missing',
      consumers: { wanted: 1, attached: 0, missing: ['Orders.onOrder'] },
    });
    const declaring = new RmqConnection({ urls: nest.vhost.url, topology: { queues: [{ name: 'orders' }] } });
    nest.afterwards(() => declaring.close());
    await declaring.start();
    await until('it is attached', async () => (await ask(app, '/health')).body.status === 'ok');
  });

  it('says degraded while the broker has an alarm', async () => {
    const app = await serve({ details: true });
    await nest.broker.setMemoryAlarm('on');
    nest.afterwards(() => nest.broker.setMemoryAlarm('off'));
    const publishing = app.get(RmqConnection).publisher.sendToQueue('nowhere', {}, { mandatory: false });
    await until(
      'the alarm shows',
      async () => (await ask(app, '/health')).body.details['rabbitmq']?.reason === 'blocked',
    );
    const { code, body } = await ask(app, '/health');
    expect(code).toBe(200);
    expect(body.details['rabbitmq']).toMatchObject({ status: 'degraded', blocked: { reason: expect.any(String) } });
    await nest.broker.setMemoryAlarm('off');
    await publishing;
    await until('it is over', async () => (await ask(app, '/health')).body.status === 'ok');
  });

  it('has the negotiated heartbeat, the age of the last byte each way and the outbox in its details, but no host', async () => {
    const app = await serve({ details: true, path: 'status/rmq' }, { heartbeat: { timeoutSeconds: 7 } });
    const { body, text } = await ask(app, '/status/rmq');
    expect(body.details['rabbitmq']).toMatchObject({
      links: [
        {
          role: 'publishing',
          state: 'open',
          attempt: 0,
          heartbeatTimeoutSeconds: 7,
          lastByteReceivedAgoMs: expect.any(Number),
          lastByteSentAgoMs: expect.any(Number),
        },
      ],
      outbox: { queued: 0, inFlight: 0 },
    });
    expect(text).not.toMatch(/127\.0\.0\.1|guest|amqp:/);
  });

  it('answers for every connection, or for those that it is told', async () => {
    const port = await findFreePort('127.0.0.1');
    const gone = nest.forRoot({ name: 'gone', urls: `amqp://127.0.0.1:${port}`, startup: 'background' });
    const app = await serve(
      {},
      {},
      { imports: [gone, RmqHealthModule.forRoot({ path: 'mine', connections: ['default'] })] },
    );
    const all = await ask(app, '/health');
    expect(all.code).toBe(503);
    expect(Object.keys(all.body.details).sort()).toEqual(['rabbitmq', 'rabbitmq:gone']);
    const mine = await ask(app, '/mine');
    expect(mine.code).toBe(200);
    expect(Object.keys(mine.body.details)).toEqual(['rabbitmq']);
  });

  it('refuses at boot to answer for a connection that nobody configured', async () => {
    await expect(serve({ connections: ['audit'] })).rejects.toThrow(OptionsError);
  });

  it('writes nothing to console or log, however often it is down', async () => {
    const port = await findFreePort('127.0.0.1');
    const written = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
    const failed = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
    nest.afterwards(() => {
      written.mockRestore();
      failed.mockRestore();
    });
    const app = await serve({}, { urls: `amqp://127.0.0.1:${port}`, startup: 'background' });
    for (let probe = 0; probe < 5; probe++) expect((await ask(app, '/health')).code).toBe(503);
    expect(written).not.toHaveBeenCalled();
    expect(failed).not.toHaveBeenCalled();
    expect(
      nest.log.filter(({ context }) => !context?.startsWith('RmqKeepalive') && /health/i.test(context ?? '')),
    ).toEqual([]);
  });

  it('provides the indicator for a health controller of your own', async () => {
    @Controller('own')
    class OwnController {
      constructor(
        private readonly health: HealthCheckService,
        private readonly rmq: RmqHealthIndicator,
      ) {}
      @Get()
      check() {
        return this.health.check([() => this.rmq.check(), () => this.rmq.check('broker', { details: true })]);
      }
    }
    const app = await nest.boot({ imports: [RmqHealthModule, TerminusModule], controllers: [OwnController] });
    await app.listen(0, '127.0.0.1');
    const { body } = await ask(app, '/own');
    expect(Object.keys(body.details['rabbitmq']!).sort()).toEqual(['reason', 'since', 'status']);
    expect(body.details['broker']).toMatchObject({ status: 'up', outbox: { queued: 0 } });
    expect((await fetch(`${await app.getUrl()}/health`)).status).toBe(404);
  });
});

describe('the health routes of an application', () => {
  const nest = useNest();
  const IS_PUBLIC = 'app:is-public';
  const Public = () => SetMetadata(IS_PUBLIC, true);

  /** As the guards of applications do it: by the mark on the method, on the class, or on either. */
  const guardOf = (targets: (context: ExecutionContext) => (object | undefined)[]) => {
    const asked: string[] = [];
    const guard: CanActivate = {
      canActivate: (context) => {
        asked.push(context.getHandler().name);
        return targets(context).some((target) => Reflect.getMetadata(IS_PUBLIC, target as object) === true);
      },
    };
    return { guard, asked };
  };

  async function serve(options: RmqHealthOptions, prepare: (app: INestApplication) => void): Promise<INestApplication> {
    const app = await nest.boot({ imports: [RmqHealthModule.forRoot(options)] }, { prepare });
    await app.listen(0, '127.0.0.1');
    return app;
  }

  const versionings: [string, VersioningOptions][] = [
    ['a header', { type: VersioningType.HEADER, header: 'x-api-version' }],
    ['a header with a default', { type: VersioningType.HEADER, header: 'x-api-version', defaultVersion: '2' }],
    ['the URI', { type: VersioningType.URI, defaultVersion: '1' }],
    ['the media type', { type: VersioningType.MEDIA_TYPE, key: 'v=' }],
  ];

  it.each(versionings)('answer without a version where %s says it', async (_, versioning) => {
    const app = await serve({}, (made) => made.enableVersioning(versioning));
    for (const path of ['/health', '/health/ready', '/health/live']) expect((await ask(app, path)).code).toBe(200);
  });

  it.each<[string, (context: ExecutionContext) => (object | undefined)[]]>([
    ['the class', (context) => [context.getClass()]],
    ['the method', (context) => [context.getHandler()]],
  ])('pass a global guard that looks for a mark on %s, and do not pass it without', async (_, targets) => {
    const { guard, asked } = guardOf(targets);
    const closed = await serve({}, (app) => app.useGlobalGuards(guard));
    expect((await ask(closed, '/health/live')).code).toBe(403);
    const open = await serve({ decorators: [Public()] }, (app) => app.useGlobalGuards(guard));
    for (const path of ['/health', '/health/ready', '/health/live']) expect((await ask(open, path)).code).toBe(200);
    expect(asked).toEqual(['live', 'everything', 'ready', 'live']);
  });

  it('keep their paths under a global prefix that excludes them', async () => {
    const app = await serve({}, (made) => made.setGlobalPrefix('api', { exclude: ['health', 'health/*path'] }));
    for (const path of ['/health', '/health/ready', '/health/live']) expect((await ask(app, path)).code).toBe(200);
    expect((await ask(app, '/api/health')).code).toBe(404);
  });

  it('run a guard that is given to them once', async () => {
    const { guard, asked } = guardOf(() => [RmqHealthModule]);
    const app = await serve({ decorators: [UseGuards(guard)] }, () => undefined);
    expect((await ask(app, '/health/live')).code).toBe(403);
    expect(asked).toEqual(['live']);
  });
});
