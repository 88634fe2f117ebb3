import { rm } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_11, NEST_12, type NodeMajor, packedLibrary, place, type Place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { serviceIn } from '../support/service.js';

/** A TypeScript service in one file. @param parameter of the consumer's constructor */
const serviceWith = (parameter: string): string => `import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { Delivery, RmqConnection, RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';

let handled: (id: string) => void;
const done = new Promise<string>((resolve) => (handled = resolve));

@Injectable()
class OrdersConsumer {
  constructor(${parameter} private readonly publisher: RmqPublisher) {}

  @Subscribe({ queue: 'orders' })
  async onOrder(@Payload() order: { id: string }, @Ctx() delivery: Delivery): Promise<void> {
    if (this.publisher === undefined) handled('it got no publisher');
    else if (order.id === 'first') await this.publisher.sendToQueue('orders', { id: 'second' });
    else handled(order.id + (delivery.redelivered ? ' again' : ''));
  }
}

@Module({
  imports: [RmqKeepaliveModule.forRoot({ urls: process.env.RMQ_URL as string, heartbeat: { thread: 'worker' } })],
  providers: [OrdersConsumer],
})
class AppModule {}

void (async () => {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  await app.get(RmqConnection).whenOpen({ timeoutMs: 20_000 });
  await app.get(RmqPublisher).sendToQueue('orders', { id: 'first' });
  console.log(await done);
  await app.close();
})().catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
`;

const TSCONFIG = JSON.stringify({
  compilerOptions: {
    target: 'es2022',
    module: 'nodenext',
    moduleResolution: 'nodenext',
    strict: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    types: ['node'],
    skipLibCheck: true,
  },
});

describe('a service in TypeScript that nothing has compiled', () => {
  const faults = useFaults();
  const LOADERS = {
    '@swc-node/register': '1.12.1',
    '@types/node': '22.20.7',
    'ts-node': '10.9.2',
    tsx: '4.23.15',
    typescript: '5.9.3',
  };
  const at = (nest: 11 | 12, type: 'module' | 'commonjs'): Promise<Place> =>
    place(`loaders-${type}`, {
      type,
      dependencies: { ...(nest === 11 ? NEST_11 : NEST_12), ...LOADERS },
      files: {
        'main.ts': serviceWith(''),
        'inject.ts': serviceWith('@Inject(RmqPublisher)'),
        'tsconfig.json': TSCONFIG,
      },
    });

  it.each<[string, 11 | 12, 'module' | 'commonjs', NodeMajor, string[]]>([
    ['tsx', 12, 'module', 22, ['tsx', 'inject.ts']],
    ['tsx', 11, 'commonjs', 22, ['tsx', 'inject.ts']],
    ['ts-node', 11, 'module', 20, ['node', '--loader', 'ts-node/esm', 'main.ts']],
    ['ts-node', 11, 'commonjs', 22, ['ts-node', 'main.ts']],
    ['@swc-node/register', 12, 'module', 22, ['node', '--import', '@swc-node/register/esm-register', 'main.ts']],
    ['@swc-node/register', 11, 'commonjs', 22, ['node', '-r', '@swc-node/register', 'main.ts']],
  ])('%s, Nest %i, %s, on Node %i', async (loader, nest, type, node, command) => {
    const folder = await at(nest, type);
    const run = await folder.run(command, { node, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: 'second\n' });
    const what = `\`${command.join(' ')}\`, ${type === 'module' ? 'ESM' : 'CommonJS'}`;
    await noteRow({ topic: 'Loading', what, at: folder, packages: [loader, '@nestjs/core'], run });
  });

  it("ts-node's ESM loader cannot load Nest 12 itself: it reads exports as Node 14 did", async () => {
    const folder = await at(12, 'module');
    await folder.write({ 'nest-alone.ts': "import '@nestjs/core';\n" });
    const run = await folder.run(['node', '--loader', 'ts-node/esm', 'nest-alone.ts'], { node: 20 });
    expect(run).toMatchObject({ code: 1, stderr: expect.stringContaining('validation.pipe.js.js') });
    const what = '`node --loader ts-node/esm main.ts`, ESM';
    const result = 'not: it cannot load Nest 12, with or without this package';
    await noteRow({ topic: 'Loading', what, at: folder, packages: ['ts-node', '@nestjs/core'], run, result });
  });

  it('control: tsx writes no types of parameters, so a constructor without @Inject finds nothing', async () => {
    const folder = await at(12, 'module');
    const run = await folder.run(['tsx', 'main.ts'], { node: 22, env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: 'it got no publisher\n' });
  });
});

describe('a service that another runtime or package manager brings', () => {
  const faults = useFaults();

  it.each([
    ['bun', '1.4.5', ['bun', 'main.mjs']],
    ['deno', '2.9.6', ['deno', 'run', '--allow-all', 'main.mjs']],
  ])('%s', async (runtime, version, command) => {
    const at = await place(`runs-in-${runtime}`, {
      dependencies: { ...NEST_12, [runtime]: version },
      files: { 'main.mjs': serviceIn('module') },
    });
    for (const thread of ['main', 'worker']) {
      const run = await at.run(command, { env: { RMQ_URL: faults.vhost.url, THREAD: thread } });
      expect({ thread, ...run }).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n' });
      const what = `${runtime}, heartbeats from the ${thread} thread`;
      await noteRow({ topic: 'Loading', what, at, packages: [runtime, '@nestjs/core'], run: { node: '-' } });
    }
  });

  it('pnpm, whose packages see only what they name', async () => {
    const maker = await place('pnpm', { dependencies: { pnpm: '12.21.0' } });
    const names = Object.entries(NEST_12).map(([name, version]) => `${name}@${version}`);
    await maker.write({
      'project/package.json': '{ "private": true, "type": "module" }',
      'project/main.js': serviceIn('module'),
    });
    const cwd = `${maker.folder}/project`;
    const installed = await maker.run(['pnpm', 'add', ...names, packedLibrary()], {
      node: 22,
      cwd,
      timeoutMs: 120_000,
    });
    expect(installed).toMatchObject({ code: 0 });
    const run = await maker.run(['node', 'main.js'], {
      node: 22,
      cwd,
      env: { RMQ_URL: faults.vhost.url, THREAD: 'worker' },
    });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n' });
    await noteRow({ topic: 'Loading', what: 'installed by pnpm', at: maker, packages: ['pnpm'], run });
  });

  it("yarn with Plug'n'Play, where a package is in an archive", async () => {
    const maker = await place('yarn-pnp', { dependencies: { '@yarnpkg/cli-dist': '4.18.1' } });
    const dependencies = { ...NEST_12, 'nestjs-rmq-keepalive': `file:${packedLibrary()}` };
    const cwd = `${maker.folder}/project`;
    await rm(cwd, { recursive: true, force: true });
    await maker.write({
      'project/package.json': JSON.stringify({ private: true, type: 'module', dependencies }),
      'project/.yarnrc.yml': 'nodeLinker: pnp\nenableTelemetry: false\nenableImmutableInstalls: false\n',
      'project/yarn.lock': '',
      'project/main.js': serviceIn('module'),
    });
    const yarn = ['node', '../node_modules/@yarnpkg/cli-dist/bin/yarn.js'];
    expect(await maker.run([...yarn, 'install'], { node: 22, cwd })).toMatchObject({ code: 0 });
    const env = { RMQ_URL: faults.vhost.url, THREAD: 'worker', HEARTBEAT: '2', BLOCK_MS: '6500' };
    const run = await maker.run([...yarn, 'node', 'main.js'], { node: 22, cwd, env });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n' });
    const what = "yarn with Plug'n'Play; the heartbeat thread holds the connection through a block of three heartbeats";
    await noteRow({ topic: 'Loading', what, at: maker, packages: ['@yarnpkg/cli-dist'], run });
  });
});
