import { existsSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { findFreePort } from '#testing/base/free-ports.js';
import { useFaults } from '../../support/fault-fixture.js';
import { packedLibrary, place, Place, type Run } from '../support/place.js';
import { noteRow } from '../support/rows.js';

const PAGE = readFileSync('docs/start/tests-and-bundles.md', 'utf8');
const README = readFileSync('README.md', 'utf8');

const CONSUMER = `import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';

@Injectable()
export class OrdersConsumer {
  constructor(private readonly publisher: RmqPublisher) {}

  @Subscribe({ queue: 'created-orders' })
  async onCreated(@Payload() order: { id: string }): Promise<void> {
    await this.publisher.publish('shop', 'order.accepted', { id: order.id });
  }
}
`;

/** The page's commands behind the build: the one that bundles, and the one that starts the bundle. */
function bundling(nest: 11 | 12): string[] {
  const fences = [
    ...PAGE.matchAll(/```sh\nnpm run build\n(npx --yes esbuild(?:[^\n]*\\\n)*[^\n]*)\n(node [^\n]*)\n```/g),
  ];
  return fences[nest - 11]?.slice(1) ?? [];
}

/** A project as the CLI makes it, its packages installed once. */
async function freshProject(nest: 11 | 12, cli: string): Promise<Place> {
  const maker = await place(`cli-${nest}`, { dependencies: { '@nestjs/cli': cli } });
  const project = new Place(join(maker.folder, 'fresh'));
  const options = ['--skip-git', '--skip-install', '--package-manager', 'npm', '--strict'];
  const manifest = join(project.folder, 'package.json');
  const pristine = join(maker.folder, 'pristine.json');
  if (!existsSync(pristine)) {
    await rm(project.folder, { recursive: true, force: true });
    expect(await maker.run(['nest', 'new', 'fresh', ...options])).toMatchObject({ code: 0 });
    // Only what the tests and the build need: linters take longest to install.
    const made = JSON.parse(readFileSync(manifest, 'utf8')) as { devDependencies: Record<string, string> };
    for (const name of Object.keys(made.devDependencies))
      if (/lint|prettier|globals|mau|coverage/.test(name)) delete made.devDependencies[name];
    await writeFile(manifest, JSON.stringify(made));
    expect(await project.run(['npm', 'install', '--no-audit', '--no-fund'], { timeoutMs: 200_000 })).toMatchObject({
      code: 0,
    });
    await writeFile(pristine, JSON.stringify(made));
  }
  await writeFile(manifest, readFileSync(pristine));
  return project;
}

describe('a project that the CLI of Nest has just made', () => {
  const faults = useFaults();

  async function succeeds(project: Place, command: string[], env: NodeJS.ProcessEnv = {}): Promise<Run> {
    const run = await project.run(command, { node: 22, env, timeoutMs: 120_000 });
    expect(`${run.code}: ${run.code === 0 ? '' : `${run.stdout}${run.stderr}`}`).toBe('0: ');
    return run;
  }

  /** The README's program: it publishes, consumes twice, answers /health, and drains. */
  async function serves(project: Place, file: string, cwd = project.folder): Promise<void> {
    const port = await findFreePort();
    const env = { RMQ_URLS: faults.vhost.url, PORT: `${port}` };
    const service = await project.start(['node', file], { node: 22, env, cwd });
    faults.afterwards(() => service.dispose());
    await service.untilItSays('first can be shipped');
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    service.signal('SIGTERM');
    await service.ended;
    expect(service.stdout).toMatch(/Closed in \d+ ms; nothing was under way/);
  }

  it.each([
    [11, '11.0.13'],
    [12, '12.0.8'],
  ] as const)(
    'of Nest %i: installed, tested, built and bundled by the commands of the documentation',
    async (nest, cli) => {
      const project = await freshProject(nest, cli);
      const line = [...README.matchAll(/npm install (nestjs-rmq-keepalive .*)/g)].find(([text]) =>
        text.includes(`microservices@${nest}`),
      );
      const [, ...others] = (line?.[1] ?? '').split(' ');
      const flags = ['--no-audit', '--no-fund', '--prefer-offline'];
      const installed = await succeeds(project, ['npm', 'install', ...flags, packedLibrary(), ...others]);
      const packages = ['@nestjs/core', '@nestjs/microservices', '@nestjs/terminus'];
      await noteRow({
        topic: 'Installing',
        what: `the line for Nest ${nest}, in a new project`,
        at: project,
        packages,
        run: installed,
      });

      const extension = nest === 12 ? '.js' : '';
      const program = /```ts\n(\/\/ main\.ts\n[\s\S]*?)```/.exec(README)?.[1] ?? '';
      await project.write({
        'src/main.ts': program.replace('heartbeat: { ', "heartbeat: { thread: 'worker', "),
        'src/orders.consumer.ts': CONSUMER,
        'src/orders.consumer.spec.ts': unitTest(extension),
      });
      const tested = await succeeds(project, ['npm', 'test']);
      await noteRow({
        topic: 'Tests of a service',
        what: `\`npm test\` in a new project of CLI ${nest}`,
        at: project,
        packages: [nest === 11 ? 'jest' : 'vitest', '@nestjs/core'],
        run: tested,
      });

      const built = await succeeds(project, ['npm', 'run', 'build']);
      await serves(project, existsSync(join(project.folder, 'dist/main.js')) ? 'dist/main.js' : 'dist/src/main.js');
      await noteRow({
        topic: 'Loading',
        what: `\`npm run build\` in a new project of CLI ${nest}`,
        at: project,
        packages: ['@nestjs/cli'],
        run: built,
      });

      const [bundle = '', start = ''] = bundling(nest);
      await succeeds(project, ['sh', '-c', `set -f; ${bundle}`]);
      const alone = await mkdtemp(join(tmpdir(), 'bundle-'));
      faults.afterwards(() => rm(alone, { recursive: true }));
      await cp(join(project.folder, 'bundle'), join(alone, 'bundle'), { recursive: true });
      const [, file = ''] = start.split(' ');
      await serves(project, file, alone);
      await noteRow({
        topic: 'Bundlers',
        what: `the documented command, in a new project of CLI ${nest}`,
        at: project,
        packages: ['@nestjs/core'],
        run: built,
      });
    },
    400_000,
  );
});

const unitTest = (extension: string): string => `import { Test } from '@nestjs/testing';
import { RmqPublisher } from 'nestjs-rmq-keepalive';
import { OrdersConsumer } from './orders.consumer${extension}';

describe('OrdersConsumer', () => {
  it('accepts an order', async () => {
    const published: unknown[] = [];
    const publisher = { publish: async (...args: unknown[]) => void published.push(args) };
    const module = await Test.createTestingModule({
      providers: [OrdersConsumer, { provide: RmqPublisher, useValue: publisher }],
    }).compile();
    await module.get(OrdersConsumer).onCreated({ id: '1' });
    expect(published).toEqual([['shop', 'order.accepted', { id: '1' }]]);
  });
});
`;
