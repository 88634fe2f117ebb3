import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { until } from '../support/until.js';
import { findFreePort } from '#testing/base/free-ports.js';
import { PrivateBroker } from '#testing/real/private-broker.js';

const run = promisify(execFile);

/** What a fresh application has anyway; the README's install line adds the rest. */
const applicationOf = (nest: number): string[] => [
  ...['common', 'core', 'platform-express'].map((part) => `@nestjs/${part}@${nest}`),
  'rxjs@7',
  'reflect-metadata@0.2',
  'typescript@6',
  '@types/node@20',
];

/** Without skipLibCheck: our declarations have to hold beside those of any Nest that we support. */
const TSCONFIG = {
  compilerOptions: {
    target: 'es2023',
    module: 'nodenext',
    strict: true,
    noImplicitReturns: true,
    isolatedModules: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    types: ['node'],
    outDir: 'dist',
  },
  files: ['main.ts'],
};

describe("the README's program, in a fresh Nest application with the packed package", () => {
  const readme = readFileSync('README.md', 'utf8');
  let folder: string;
  let tarball: string;
  let broker: PrivateBroker;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'readme-program-'));
    broker = await PrivateBroker.start();
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
      cwd: 'libs/rmq-keepalive',
    });
    const [{ filename }] = JSON.parse(stdout) as [{ filename: string }];
    tarball = resolve(folder, filename);
    await compileFor(12, folder);
  }, 180_000);

  /** Makes an application of it in `into`, whose compiler has nothing to say. */
  async function compileFor(nest: number, into: string): Promise<void> {
    const program = /```ts\n(\/\/ main\.ts\n[\s\S]*?)```/.exec(readme)?.[1];
    const lines = [...readme.matchAll(/npm install (nestjs-rmq-keepalive .*)/g)].map(([, names = '']) => names);
    const installs = lines.find((names) => names.includes(`@nestjs/microservices@${nest}`))?.split(' ') ?? [];
    expect(program).toContain('NestFactory.create');
    expect(installs[0]).toBe('nestjs-rmq-keepalive');
    writeFileSync(join(into, 'package.json'), JSON.stringify({ name: 'fresh', private: true, type: 'module' }));
    writeFileSync(join(into, 'tsconfig.json'), JSON.stringify(TSCONFIG));
    writeFileSync(join(into, 'main.ts'), program ?? '');
    const packages = [...applicationOf(nest), tarball, ...installs.slice(1)];
    await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages], { cwd: into });
    const compiled = run('node', ['node_modules/typescript/bin/tsc'], { cwd: into });
    // The compiler's complaints are on stdout, and not in the error.
    await compiled.catch((failed: { stdout?: string }) => {
      throw new Error(`The README's program does not compile on Nest ${nest}:\n${failed.stdout}`, { cause: failed });
    });
  }

  afterAll(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  }, 30_000);

  it('compiles on Nest 11 as well', async () => {
    const into = join(folder, 'nest-11');
    mkdirSync(into);
    await expect(compileFor(11, into)).resolves.toBeUndefined();
  }, 180_000);

  it('publishes, consumes, answers /health truthfully and drains on SIGTERM', async () => {
    const port = await findFreePort();
    const child = spawn('node', ['dist/main.js'], {
      cwd: folder,
      env: { ...process.env, RMQ_URLS: broker.url, PORT: String(port) },
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const exited = once(child, 'exit');

    await until(
      `the order went through both handlers:\n${output}`,
      () => output.includes('accepted first') && output.includes('first can be shipped'),
    );
    const health = await fetch(`http://127.0.0.1:${port}/health`);
    expect({ code: health.status, body: await health.json() }).toMatchObject({ code: 200, body: { status: 'ok' } });
    await broker.kill();
    await until('health says that it is not well', async () => {
      const body = (await (await fetch(`http://127.0.0.1:${port}/health`)).json()) as { status: string };
      return body.status !== 'ok';
    });
    expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
    await broker.restart();
    await until(
      'health says that it is well again',
      async () => (await fetch(`http://127.0.0.1:${port}/health`)).status === 200 && output.includes('consumes again'),
    );

    child.kill('SIGTERM');
    // Nest ends the process with the signal that it got, after its hooks.
    expect(await exited).toEqual([null, 'SIGTERM']);
    expect(output).toMatch(/Closed in \d+ ms; nothing was under way/);
    expect(output).not.toContain('guest:guest');
  }, 60_000);
});
