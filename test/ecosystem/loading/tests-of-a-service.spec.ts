import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_11, NEST_12, type NodeMajor, place, type Place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

const CONSUMER = `import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { defineEvent, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';

export const created = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.created' });
export const accepted = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.accepted' });

@Injectable()
export class OrdersConsumer {
  constructor(private readonly publisher: RmqPublisher) {}

  @Subscribe(created, { queue: 'orders' })
  async onCreated(@Payload() order: { id: string }): Promise<void> {
    await this.publisher.publish(accepted, { id: order.id });
  }
}
`;

/** A unit test, and one that boots the module on the broker, with the heartbeat thread. */
const testsWith = (imports: string): string => `${imports}import { Test } from '@nestjs/testing';
import { RmqConnection, RmqKeepaliveModule, RmqPublisher } from 'nestjs-rmq-keepalive';
import { RmqError } from 'nestjs-rmq-keepalive/errors';
import { accepted, created, OrdersConsumer } from './orders.consumer';

describe('OrdersConsumer', () => {
  it('accepts what was created', async () => {
    const published: unknown[] = [];
    const publisher = { publish: async (...args: unknown[]) => void published.push(args) };
    const module = await Test.createTestingModule({
      providers: [OrdersConsumer, { provide: RmqPublisher, useValue: publisher }],
    }).compile();
    await module.get(OrdersConsumer).onCreated({ id: '1' });
    expect(published).toEqual([[accepted, { id: '1' }]]);
  });

  it('does so on a broker', async () => {
    const urls = process.env['RMQ_URL'] as string;
    const module = await Test.createTestingModule({
      imports: [RmqKeepaliveModule.forRoot({ urls, heartbeat: { thread: 'worker' } })],
      providers: [OrdersConsumer],
    }).compile();
    const app = await module.init();
    const connection = app.get(RmqConnection);
    const got = new Promise((resolve) =>
      connection.subscribe({ queue: 'accepted', exchange: 'shop', routingKey: 'order.accepted' }, (payload) => resolve(payload)),
    );
    try {
      await connection.whenOpen({ timeoutMs: 10_000 });
      await app.get(RmqPublisher).publish(created, { id: '2' });
      expect(await got).toEqual({ id: '2' });
    } finally {
      await app.close();
    }
    await expect(app.get(RmqPublisher).publish(created, { id: '3' })).rejects.toBeInstanceOf(RmqError);
  });
});
`;

const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    resolvePackageJsonExports: true,
    esModuleInterop: true,
    isolatedModules: true,
    declaration: true,
    removeComments: true,
    emitDecoratorMetadata: true,
    experimentalDecorators: true,
    allowSyntheticDefaultImports: true,
    target: 'ES2023',
    sourceMap: true,
    outDir: './dist',
    baseUrl: './',
    incremental: true,
    skipLibCheck: true,
    strictNullChecks: true,
    types: ['node', 'jest'],
  },
};

/** As `nest new` of version 11 writes it. */
const JEST = {
  moduleFileExtensions: ['js', 'json', 'ts'],
  rootDir: 'src',
  testRegex: '.*\\.spec\\.ts$',
  transform: { '^.+\\.(t|j)s$': 'ts-jest' },
  testEnvironment: 'node',
};

describe('the tests of a service, with nothing configured for the package', () => {
  const faults = useFaults();

  const jestPlace = (version: string, types: string): Promise<Place> =>
    place(`jest-${version.slice(0, 2)}`, {
      type: 'commonjs',
      dependencies: {
        ...NEST_11,
        '@nestjs/testing': '11.2.6',
        '@nestjs/platform-express': '11.2.10',
        '@types/jest': types,
        '@types/node': '22.20.7',
        jest: version,
        'ts-jest': '29.4.15',
        typescript: '5.9.3',
      },
      manifest: { jest: JEST },
      files: {
        'tsconfig.json': JSON.stringify(TSCONFIG),
        'src/orders.consumer.ts': CONSUMER,
        'src/orders.consumer.spec.ts': testsWith(''),
      },
    });

  it.each<[string, string, NodeMajor]>([
    ['29.7.0', '29.5.8', 20],
    ['29.7.0', '29.5.8', 26],
    ['30.5.2', '30.0.0', 22],
    ['30.5.2', '30.0.0', 24],
  ])('jest %s, ts-jest and Nest 11, as its CLI makes it', async (version, types, node) => {
    const at = await jestPlace(version, types);
    const run = await at.run(['jest'], { node, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stderr: expect.stringContaining('2 passed') });
    const packages = ['jest', 'ts-jest', '@nestjs/core'];
    await noteRow({ topic: 'Tests of a service', what: 'jest, CommonJS, as CLI 11 makes it', at, packages, run });
  });

  it.each<[NodeMajor]>([[22], [26]])('vitest and Nest 12, ESM, on Node %i', async (node) => {
    const at = await place('vitest', {
      dependencies: {
        ...NEST_12,
        '@nestjs/testing': '12.1.1',
        '@swc/core': '1.16.18',
        'unplugin-swc': '2.0.0',
        vitest: '5.1.2',
      },
      files: {
        'vitest.config.ts': `import swc from 'unplugin-swc';
import { defineConfig } from 'vitest/config';
export default defineConfig({ test: { globals: true }, plugins: [swc.vite({ module: { type: 'es6' } })] });
`,
        'tsconfig.json': JSON.stringify(TSCONFIG),
        'src/orders.consumer.ts': CONSUMER,
        'src/orders.consumer.spec.ts': testsWith(
          "import { describe, expect, it } from 'vitest';\nimport 'reflect-metadata';\n",
        ),
      },
    });
    const run = await at.run(['vitest', 'run'], { node, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining('2 passed') });
    await noteRow({ topic: 'Tests of a service', what: 'vitest, ESM', at, packages: ['vitest', '@nestjs/core'], run });
  });
});
