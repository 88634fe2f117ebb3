/** What comes through RabbitMQ's other protocols, and what goes out through them. */
import { execFile } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { Delivery } from 'nestjs-rmq-keepalive';
import { findFreePorts } from '#testing/base/free-ports.js';
import { useFaults } from '../../support/fault-fixture.js';
import { until } from '../../support/until.js';
import { missingPackages, noteDebianRow } from '../support/debian.js';
import { noteRow } from '../support/rows.js';

const exec = promisify(execFile);
const PROTON = resolve('test/ecosystem/interop/programs/proton-client.py');
const [mqttPort, stompPort] = (await findFreePorts(2)) as [number, number];

describe('RabbitMQ’s other protocols', () => {
  const faults = useFaults({
    ownBroker: {
      version: '4.0',
      plugins: ['rabbitmq_mqtt', 'rabbitmq_stomp'],
      config: {
        'mqtt.listeners.tcp.default': `127.0.0.1:${mqttPort}`,
        'stomp.listeners.tcp.1': `127.0.0.1:${stompPort}`,
      },
    },
  });

  const consuming = async (options: { queue: string; exchange?: string; routingKey?: string }) => {
    const handled: { payload: unknown; delivery: Delivery }[] = [];
    const refused: string[] = [];
    const connection = faults.connect({ startup: 'wait' });
    connection.subscribe(options, (payload, delivery) => void handled.push({ payload, delivery }));
    connection.on('delivery-dead-lettered', ({ cause }) => refused.push(String(cause?.message)));
    await connection.start();
    return { connection, handled, refused };
  };

  /** A socket and all that came on it. */
  const dial = async (port: number): Promise<{ socket: Socket; heard: () => string }> => {
    const socket = connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => undefined);
    faults.afterwards(() => socket.destroy());
    await once(socket, 'connect');
    return { socket, heard: () => Buffer.concat(chunks).toString('latin1') };
  };

  const noteProtocol = (what: string): Promise<void> =>
    noteRow({
      topic: 'Messages of others',
      what,
      at: { versionOf: () => Promise.resolve(faults.broker.version) },
      packages: ['RabbitMQ'],
      run: { node: process.versions.node },
    });

  it('MQTT: topics become routing keys, and the body alone says what it is', async () => {
    const { connection, handled, refused } = await consuming({
      queue: 'm',
      exchange: 'amq.topic',
      routingKey: 'plant.#',
    });
    const { socket, heard } = await dial(mqttPort);
    socket.write(
      mqtt(0x10, text('MQTT'), [4, 0xc2, 0, 60], text('c1'), text(`${faults.vhost.name}:guest`), text('guest')),
    );
    await until('it is connected', () => heard().startsWith('\x20\x02'));
    socket.write(mqtt(0x32, text('plant/1.5/temperature'), [0, 1], Buffer.from('{"celsius":21}')));
    socket.write(mqtt(0x30, text('plant/state'), Buffer.from('hot')));
    await until('both have come', () => handled.length === 1 && refused.length === 1);
    const [{ payload, delivery }] = handled as [(typeof handled)[0]];
    expect(payload).toEqual({ celsius: 21 });
    // The dot of the topic and its slash are one and the same now.
    expect(delivery.routingKey).toBe('plant.1.5.temperature');
    expect(delivery.properties).toMatchObject({ contentType: undefined, messageId: undefined, deliveryMode: 2 });
    expect(refused).toEqual([expect.stringContaining('it is not valid JSON')]);

    socket.write(mqtt(0x82, [0, 2], text('orders/#'), [0]));
    await until('it subscribes', () => heard().includes('\x90\x03'));
    await connection.publisher.publish('amq.topic', 'orders.new', { id: 1 });
    await until('it gets ours', () => heard().includes('orders/new{"id":1}'));
    await noteProtocol('MQTT 3.1.1 publishes and subscribes');
  });

  it('STOMP: the content type counts, and every header is a text', async () => {
    const { connection, handled, refused } = await consuming({ queue: 's' });
    const { socket, heard } = await dial(stompPort);
    socket.write(`CONNECT\naccept-version:1.2\nhost:${faults.vhost.name}\nlogin:guest\npasscode:guest\n\n\0`);
    await until('it is connected', () => heard().startsWith('CONNECTED'));
    const send = (headers: string, body: string) =>
      socket.write(`SEND\ndestination:/amq/queue/s\n${headers}\n\n${body}\0`);
    send('content-type:application/json\ntenant:acme\ncount:7\ncorrelation-id:c1\npersistent:true', '{"id":1}');
    send('content-type:text/plain', 'plain text');
    send('tenant:acme', 'plain text');
    await until('all have come', () => handled.length === 2 && refused.length === 1);
    expect(handled.map(({ payload }) => payload)).toEqual([{ id: 1 }, 'plain text']);
    expect(handled[0]?.delivery.headers).toEqual({ tenant: 'acme', count: '7' });
    expect(handled[0]?.delivery.properties).toMatchObject({ correlationId: 'c1', deliveryMode: 2 });

    await connection.declareTopology({ queues: [{ name: 'ours' }] });
    const headers = { tenant: 'acme', count: 7, list: [1] };
    await connection.publisher.sendToQueue('ours', { id: 2 }, { headers, messageId: 'm2' });
    socket.write('SUBSCRIBE\nid:1\ndestination:/amq/queue/ours\nack:auto\n\n\0');
    await until('it gets ours', () => heard().includes('\n\n{"id":2}'));
    expect(heard()).toMatch(/\ntenant:acme\n/);
    expect(heard()).toMatch(/\ncount:7\n/);
    expect(heard()).toMatch(/\namqp-message-id:m2\n/);
    expect(heard()).not.toMatch(/\nlist:/);
    await noteProtocol('STOMP 1.2 sends and subscribes');
  });

  it('AMQP 1.0: a data section is a body, a value section is none', async () => {
    const missing = await missingPackages(['python3-qpid-proton']);
    const what = 'AMQP 1.0 sends and receives';
    if (missing !== undefined) return noteDebianRow(what, 'python3-qpid-proton', `not tried: ${missing}`);
    const { connection, handled, refused } = await consuming({ queue: 'one' });
    const proton = async (mode: string, queue: string): Promise<string> => {
      const args = [PROTON, mode, `127.0.0.1:${faults.broker.port}`, faults.vhost.name, queue];
      return (await exec('/usr/bin/python3', args, { timeout: 30_000 })).stdout;
    };
    await proton('publish', 'one');
    await until('all have come', () => handled.length === 1 && refused.length === 2);
    const [{ payload, delivery }] = handled as [(typeof handled)[0]];
    expect(payload).toEqual({ id: 2 });
    expect(delivery.headers).toEqual({ text: 'ü', large: 2 ** 53, half: 0.5, yes: true });
    expect(delivery.properties).toMatchObject({
      messageId: 'm1',
      correlationId: 'c1',
      contentType: 'application/json',
    });
    for (const reason of refused) expect(reason).toContain('it is an AMQP 1.0 value section');

    await connection.declareTopology({ queues: [{ name: 'ours' }] });
    const headers = { tenant: 'acme', large: 2n ** 60n + 1n, list: [1], 'x-mine': 'yes' };
    await connection.publisher.sendToQueue('ours', { id: 2 }, { headers, messageId: 'm2' });
    const read = await proton('read', 'ours');
    expect(read).toContain('"large": 1152921504606846977');
    expect(JSON.parse(read)).toMatchObject({
      body: '{"id":2}',
      contentType: 'application/json',
      messageId: 'm2',
      annotations: { 'x-mine': 'yes' },
    });
    // A list is no application property, and a name that begins with x- is an annotation.
    expect(Object.keys((JSON.parse(read) as { headers: object }).headers).sort()).toEqual(['large', 'tenant']);
    await noteDebianRow(what, 'python3-qpid-proton');
  });

  it('streams keep plain headers, and drop lists and tables', async () => {
    const { connection, handled } = await consuming({ queue: 'plain' });
    const streamed: Delivery[] = [];
    connection.subscribe(
      { queue: 'log', queueOptions: { type: 'stream' } },
      (_, delivery) => void streamed.push(delivery),
    );
    await until('both are attached', () => connection.status().consumers.attached === 2);
    const headers = { text: 'ü', int: 7, large: 2 ** 40, half: 0.5, yes: true, list: [1], table: { a: 1 } };
    for (const queue of ['plain', 'log']) await connection.publisher.sendToQueue(queue, {}, { headers });
    await until('both have come', () => handled.length === 1 && streamed.length === 1);
    const { list, table, ...plain } = headers;
    expect(streamed[0]?.headers).toMatchObject(plain);
    expect(Object.keys(streamed[0]?.headers ?? {})).not.toEqual(expect.arrayContaining(['list']));
    expect(Object.keys(streamed[0]?.headers ?? {})).not.toEqual(expect.arrayContaining(['table']));
    // Control: a queue keeps them.
    expect(handled[0]?.delivery.headers).toMatchObject({ ...plain, list, table });
  });
});

function mqtt(type: number, ...parts: readonly (Buffer | readonly number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as Buffer)));
  return Buffer.concat([Buffer.from([type, body.length]), body]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}
