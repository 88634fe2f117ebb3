import { afterAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { useFaults } from '../support/fault-fixture.js';
import { GOLEVELUP_BEFORE } from '../support/golevelup-before.js';
import { until } from '../support/until.js';

const CLI = resolve('libs/rmq-keepalive/dist/migrate/cli.js');
const EXAMPLES = resolve('examples');
const BUILT = resolve('dist/examples');

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

function cli(...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [CLI, ...args], (error, stdout, stderr) =>
      done({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

/** A copy of an example, beside the built ones: programs find the library from there. */
function copyOf(example: string): string {
  const folder = mkdtempSync(join(BUILT, 'migrated-'));
  folders.push(folder);
  cpSync(join(EXAMPLES, example), folder, { recursive: true });
  return folder;
}

/** Compiles what a copy holds now. @returns where to start its programs from */
function built(folder: string): (program: string) => URL {
  const compilerOptions = {
    module: ts.ModuleKind.ESNext,
    target: ts.ScriptTarget.ES2023,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
  };
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.ts'))) {
    const { outputText } = ts.transpileModule(readFileSync(join(folder, file), 'utf8'), { compilerOptions });
    writeFileSync(join(folder, file.replace(/\.ts$/, '.js')), outputText);
  }
  return (program) => pathToFileURL(resolve('examples', basename(folder), program));
}

describe('npx nestjs-rmq-keepalive migrate', () => {
  const faults = useFaults();

  function start(program: URL): TypescriptChild {
    const child = TypescriptChild.start(program, { env: { RMQ_URLS: faults.vhost.url } });
    faults.afterwards(() => child.dispose());
    return child;
  }

  it('makes of a worker on amqplib one that goes on when its connection is closed', async () => {
    const folder = copyOf('migrating-from-amqplib');
    expect(await cli('migrate', '--from', 'amqplib', join(folder, 'before.ts'))).toMatchObject({ code: 0 });
    const child = start(built(folder)('before.ts'));
    await until('it works', () => child.stdout.includes('Jobs are done.'), { timeoutMs: 20_000 });
    const give = (id: string) => faults.connect().publisher.publish('shop', 'job.new', { id });
    for (const id of ['bad', 'j1']) await give(id);
    await until('the job is done', () => child.stdout.includes('worked j1'));
    await faults.broker.closeAllConnections('maintenance');
    await until('it consumes again', async () => (await faults.broker.listConsumers(faults.vhost.name)).length === 1);
    await give('j2');
    await until('the next job is done', () => child.stdout.includes('worked j2'));
  }, 90_000);

  it('makes of a service and a shop on Transport.RMQ such that understand each other', async () => {
    const folder = copyOf('migrating-from-nest-rmq');
    for (const side of ['service', 'shop']) rmSync(join(folder, `${side}.after.ts`));
    expect(await cli('migrate', '--from', 'transport-rmq', folder)).toMatchObject({ code: 0 });
    for (const side of ['service', 'shop'])
      expect(readFileSync(join(folder, `${side}.before.ts`), 'utf8')).toContain('nestjs-rmq-keepalive/microservices');
    const programs = built(folder);
    const service = start(programs('service.before.ts'));
    await until('it serves', () => service.stdout.includes('Orders are served.'), { timeoutMs: 20_000 });
    const shop = start(programs('shop.before.ts'));
    expect(await shop.untilEnded()).toMatchObject({ exitCode: 0 });
    expect(shop.stdout).toContain("items [ 'tea', 'pot' ]");
    expect(shop.stdout).toContain('There is no order o-2');
  }, 90_000);

  it('makes of a service on golevelup one that takes orders and tells prices', async () => {
    const folder = copyOf('migrating-from-golevelup');
    for (const [file, text] of Object.entries(GOLEVELUP_BEFORE)) writeFileSync(join(folder, file), text);
    const { code, output } = await cli('migrate', '--from', 'golevelup', folder);
    expect({ code, output }).toEqual({ code: 0, output: expect.stringContaining('Changed 3 files') });
    expect(output).toContain('one place needs you');
    const child = start(built(folder)('main.ts'));
    await until('a price is told', () => child.stdout.includes('tea costs { cents: 7 }'), { timeoutMs: 20_000 });
    const order = { id: 'a', item: 'tea' };
    await faults.connect().publisher.publish('shop', 'order.created', order, { headers: { 'x-tenant': 'acme' } });
    await until('it is accepted', () => child.stdout.includes('accepted a from order.created'));
    await until('it is shipped', () => child.stdout.includes('shipping a'));
  }, 90_000);

  it('changes nothing the second time, nor when it only says what it would do', async () => {
    const folder = copyOf('migrating-from-amqplib');
    const before = join(folder, 'before.ts');
    const text = readFileSync(before, 'utf8');
    expect(await cli('migrate', '--from', 'amqplib', '--dry-run', folder)).toMatchObject({
      code: 0,
      output: expect.stringContaining('Would change 1 file'),
    });
    expect(readFileSync(before, 'utf8')).toBe(text);
    await cli('migrate', '--from', 'amqplib', folder);
    const after = readFileSync(before, 'utf8');
    expect(after).not.toBe(text);
    expect(await cli('migrate', '--from', 'amqplib', folder)).toMatchObject({ output: 'Nothing to change.\n' });
    expect(readFileSync(before, 'utf8')).toBe(after);
  }, 60_000);

  it.each([
    [['migrate', '--from', 'kafka', 'src'], '--from "kafka" is none of golevelup, transport-rmq, amqplib'],
    [['migrate', '--from', 'amqplib'], 'Name the folders or files'],
    [['migrate', '--from', 'amqplib', '/nowhere'], 'No TypeScript files under /nowhere'],
    [['upgrade'], 'no command "upgrade"'],
    [['migrate', '--unheard-of'], 'Usage:'],
  ])('says what is wrong with %j', async (args, expected) => {
    expect(await cli(...args)).toEqual({ code: 1, output: expect.stringContaining(expected) });
  });
});
