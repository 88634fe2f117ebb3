/**
 * Our transport in the place of Nest's, beside the newest @nestjs/microservices of each major that the registry has on the day: not
 * a pinned one, so that a release that changes the wire or the hooks of a strategy is seen by the next run.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

const exec = promisify(execFile);
const NEST = ['@nestjs/common', '@nestjs/core', '@nestjs/microservices'] as const;

/** As an installation without a lock file gets it. */
async function newestOf(name: string, major: number): Promise<string> {
  const { stdout } = await exec('npm', ['view', `${name}@${major}`, 'version', '--json']);
  const versions = [JSON.parse(stdout) as string | string[]].flat();
  return versions.at(-1)!;
}

/** A server and a client on each side, ours and Nest's: who asks whom, and whose event reaches whom. */
const PROGRAM = `import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, EventPattern, MessagePattern, Transport } from '@nestjs/microservices';
import { RmqClient, RmqServer } from 'nestjs-rmq-keepalive/microservices';
import { firstValueFrom, lastValueFrom, of, toArray } from 'rxjs';

const decorated = (type, method, decorator) =>
  decorator(type.prototype, method, Object.getOwnPropertyDescriptor(type.prototype, method));
const seen = [];
class Maths {
  sum(numbers) { return numbers.reduce((a, b) => a + b, 0); }
  count(to) { return of(...Array.from({ length: to }, (_, i) => i + 1)); }
  fails() { throw new Error('no'); }
  noted(what) { seen.push(what); }
}
decorated(Maths, 'sum', MessagePattern('sum'));
decorated(Maths, 'count', MessagePattern('count'));
decorated(Maths, 'fails', MessagePattern('fails'));
decorated(Maths, 'noted', EventPattern('noted'));
Controller()(Maths);
class AppModule {}
Module({ controllers: [Maths] })(AppModule);

const SIDES = {
  server: { ours: (options) => ({ strategy: new RmqServer(options) }), nest: (options) => ({ transport: Transport.RMQ, options }) },
  client: { ours: (options) => new RmqClient(options), nest: (options) => ClientProxyFactory.create({ transport: Transport.RMQ, options }) },
};

const results = {};
for (const [serverSide, clientSide] of [['ours', 'ours'], ['ours', 'nest'], ['nest', 'ours']]) {
  const options = { urls: [process.env.RMQ_URL], queue: clientSide + '-to-' + serverSide, queueOptions: { durable: true } };
  const server = await NestFactory.createMicroservice(AppModule, { ...SIDES.server[serverSide](options), logger: false });
  await server.listen();
  const client = SIDES.client[clientSide](options);
  await client.connect();
  const answers = [
    await firstValueFrom(client.send('sum', [1, 2, 3])),
    await lastValueFrom(client.send('count', 3).pipe(toArray())),
    await firstValueFrom(client.send('fails', {})).catch(({ message }) => message),
  ];
  await lastValueFrom(client.emit('noted', clientSide), { defaultValue: undefined });
  for (let i = 0; i < 100 && !seen.includes(clientSide); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  results[clientSide + ' asks ' + serverSide] = [...answers, seen.splice(0)];
  await client.close();
  await server.close();
}
console.log(JSON.stringify(results));
`;

describe('the transport beside the newest @nestjs/microservices', () => {
  const faults = useFaults();

  it.each([11, 12])('of Nest %i asks and answers, with itself and with Nest’s own', async (major) => {
    const versions = await Promise.all(NEST.map(async (name) => [name, await newestOf(name, major)] as const));
    expect(versions.every(([, version]) => version.startsWith(`${major}.`))).toBe(true);
    const dependencies = { ...NEST_12, ...Object.fromEntries(versions) };
    const at = await place(`newest-microservices-${major}`, { dependencies, files: { 'main.mjs': PROGRAM } });
    const run = await at.run(['node', 'main.mjs'], { env: { RMQ_URL: faults.vhost.url } });
    const all = (client: string): unknown[] => [6, [1, 2, 3], 'Internal server error', [client]];
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(run.stdout)).toEqual({
      'ours asks ours': all('ours'),
      'nest asks ours': all('nest'),
      'ours asks nest': all('ours'),
    });
    const what =
      'the newest transport of this major, on the day: `RmqServer` and `RmqClient` with it and with each other';
    await noteRow({ topic: 'Nest', what, at, packages: ['@nestjs/microservices', '@nestjs/core'], run });
  });
});
