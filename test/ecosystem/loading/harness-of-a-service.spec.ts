import { describe, expect, it } from '@jest/globals';
import { NEST_11, NEST_12, type NodeMajor, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

/** A service, told of a broker that is not there. */
const SERVICE = `import { Inject, Injectable, Module } from '@nestjs/common';
import { defineEvent, RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';

export const placed = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.placed' });
export const shipped = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.shipped' });

@Injectable()
export class Orders {
  constructor(@Inject(RmqPublisher) private readonly publisher: RmqPublisher) {}

  @Subscribe(placed, { queue: 'orders', retry: { attempts: 3, firstDelayMs: 60_000 } })
  async onPlaced(order: { id: string }): Promise<void> {
    if (order.id === 'bad') throw new Error('no stock');
    await this.publisher.publish(shipped, order);
  }
}

const shop = { exchanges: [{ name: 'shop', type: 'topic' as const }], queues: [{ name: 'shipped' }] };
const bindings = [{ exchange: 'shop', queue: 'shipped', routingKey: 'order.shipped' }];

@Module({
  imports: [RmqKeepaliveModule.forRoot({ urls: 'amqp://production.invalid', topology: { ...shop, bindings } })],
  providers: [Orders],
})
export class AppModule {}
`;

/** Each in a file of its own, so that the runner has them at the same time. */
const testOf = (imports: string, id: string): string => `${imports}import { Test } from '@nestjs/testing';
import { RmqTestHarness } from 'nestjs-rmq-keepalive/testing';
import { AppModule, placed, shipped } from './orders';

describe('the service', () => {
  it('ships ${id}, and gives up what it cannot ship', async () => {
    const harness = await RmqTestHarness.start();
    const module = await harness.override(Test.createTestingModule({ imports: [AppModule] })).compile();
    await module.init();
    try {
      await harness.outside.publisher.publish(placed, { id: '${id}' });
      await harness.settled();
      await harness.accident('link-lost');
      await harness.outside.publisher.publish(placed, { id: 'bad' });
      await harness.advance(60_000);
      await harness.advance(120_000);
      expect(harness.published(shipped).map(({ payload }) => payload.id)).toContain('${id}');
      expect((await harness.deadLetters()).map(({ attempts }) => attempts)).toEqual([3]);
    } finally {
      await module.close();
      await harness.close();
    }
  });
});
`;

const IDS = ['1', '2', '3'];
const filesWith = (imports: string): Record<string, string> =>
  Object.fromEntries(IDS.map((id) => [`src/ships-${id}.spec.ts`, testOf(imports, id)]));

const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    target: 'ES2023',
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    esModuleInterop: true,
    isolatedModules: true,
    strictNullChecks: true,
    skipLibCheck: true,
  },
};

const JEST = {
  moduleFileExtensions: ['js', 'json', 'ts'],
  rootDir: 'src',
  testRegex: '.*\\.spec\\.ts$',
  transform: { '^.+\\.(t|j)s$': 'ts-jest' },
  testEnvironment: 'node',
};

describe('the harness in the tests of a service, files at the same time', () => {
  it.each<[NodeMajor]>([[20], [24]])('jest and Nest 11, CommonJS, on Node %i', async (node) => {
    const at = await place('harness-jest', {
      type: 'commonjs',
      dependencies: {
        ...NEST_11,
        '@nestjs/testing': '11.2.6',
        '@types/jest': '30.0.0',
        '@types/node': '22.20.7',
        jest: '30.5.2',
        'ts-jest': '29.4.15',
        typescript: '5.9.3',
      },
      manifest: { jest: JEST },
      files: {
        'tsconfig.json': JSON.stringify({ compilerOptions: { ...TSCONFIG.compilerOptions, types: ['node', 'jest'] } }),
        'src/orders.ts': SERVICE,
        ...filesWith(''),
      },
    });
    const run = await at.run(['jest', '--maxWorkers', '2'], { node });
    expect(run).toMatchObject({ code: 0, stderr: expect.stringContaining('3 passed') });
    const packages = ['jest', 'ts-jest', '@nestjs/core'];
    await noteRow({ topic: 'Tests of a service', what: 'the harness in memory, jest, CommonJS', at, packages, run });
  });

  it('vitest and Nest 12, ESM', async () => {
    const at = await place('harness-vitest', {
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
        'src/orders.ts': SERVICE,
        ...filesWith("import { describe, expect, it } from 'vitest';\nimport 'reflect-metadata';\n"),
      },
    });
    const run = await at.run(['vitest', 'run'], { node: 24 });
    expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining('3 passed') });
    const packages = ['vitest', '@nestjs/core'];
    await noteRow({ topic: 'Tests of a service', what: 'the harness in memory, vitest, ESM', at, packages, run });
  });
});
