/**
 * The real `@golevelup/nestjs-rabbitmq` beside this library, on one broker: services move one by one, so each calls the other.
 * Both sides are plain JavaScript, as a Nest 11 service compiles to.
 */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import { Settlement } from '#engine/consuming/delivery/settlement.js';
import { useFaults } from '../../support/fault-fixture.js';
import { exportedValues, memberNames, namesInTable } from '../../support/repository/type-names.js';
import { until } from '../../support/until.js';
import { NEST_11, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

/** What its users write: options, the connection, the module. */
const LOOKED_UP = [
  ...['RabbitMQConfig', 'RabbitMQExchangeConfig', 'RabbitMQQueueConfig', 'RabbitMQExchangeBindingConfig'],
  ...['RabbitMQChannelConfig', 'ConnectionInitOptions', 'MessageHandlerOptions', 'QueueOptions', 'BatchOptions'],
  ...['RabbitSubscribeBinding', 'RequestOptions', 'MessageHandlerErrorBehavior'],
  ...['AmqpConnection', 'AmqpConnectionManager', 'RabbitMQModule'],
];

const DEPENDENCIES = { ...NEST_11, '@golevelup/nestjs-rabbitmq': '9.0.2' };

const GOLEVELUP = `const { AmqpConnection } = require('@golevelup/nestjs-rabbitmq');
const connect = async () => {
  const logger = { log() {}, warn: console.error, error: console.error, debug() {} };
  const amqp = new AmqpConnection({ uri: process.env.RMQ_URL, exchanges: [{ name: 'shop', type: 'topic' }], logger });
  await amqp.init();
  return amqp;
};
const until = async (isSo) => {
  for (let i = 0; i < 200 && !isSo(); i++) await new Promise((resolve) => setTimeout(resolve, 50));
};
`;

/** Asks handlers of ours, and prints what it gets. */
const CALLER = `${GOLEVELUP}
connect().then(async (amqp) => {
  const ask = (routingKey, headers, payload = { item: 'tea' }) =>
    amqp.request({ exchange: 'shop', routingKey, payload, headers, timeout: 2000 }).catch((error) => error.constructor.name);
  const answers = [
    await ask('price', { 'X-Request-ID': 'r-1' }),
    await ask('price', undefined),
    await ask('stock', { 'X-Request-ID': 'r-2' }),
    await ask('nothing', { 'X-Request-ID': 'r-3' }),
    await ask('silent', { 'X-Request-ID': 'r-4' }),
  ];
  await amqp.publish('shop', 'order.created', { id: 'o-1' }, { headers: { 'x-tenant': 'acme' } });
  console.log(JSON.stringify(answers.map((answer) => answer ?? null)));
  process.exit(0);
});
`;

/** Answers ours: two handlers of one queue, and one that answers nothing; and takes our event. */
const RESPONDER = `${GOLEVELUP}
connect().then(async (amqp) => {
  const at = (routingKey) => ({ exchange: 'shop', queue: 'golevelup.rpc', routingKey, errorBehavior: 'NACK' });
  await amqp.createRpc(async (payload) => ({ grams: payload.length }), at('weight'));
  await amqp.createRpc(async (payload) => payload === null ? undefined : [payload], at('echo'));
  let event;
  await amqp.createSubscriber(async (payload, message, headers) => {
    event = { payload, type: message.properties.contentType, tenant: headers['x-tenant'] };
  }, { exchange: 'shop', queue: 'golevelup.events', routingKey: 'order.accepted' }, 'handler');
  console.log('ready');
  await until(() => event !== undefined);
  console.log(JSON.stringify(event));
  process.exit(0);
});
`;

describe('a service with @golevelup/nestjs-rabbitmq', () => {
  const faults = useFaults();
  const packages = ['@golevelup/nestjs-rabbitmq', '@nestjs/core', 'amqplib'];

  async function ours(): Promise<RmqConnection> {
    const connection = faults.connect({ topology: { exchanges: [{ name: 'shop', type: 'topic' }] } });
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    return connection;
  }

  it('gets its answers from handlers of ours, also with X-Request-ID; control: without that header it waits in vain', async () => {
    const connection = await ours();
    const at = (routingKey: string) => ({ queue: 'shop.rpc', exchange: 'shop', routingKey });
    const handlers = connection.answerEach([
      { options: at('price'), handler: () => ({ cents: 7 }) },
      { options: at('stock'), handler: () => 3 },
      { options: at('nothing'), handler: () => undefined },
    ]);
    const silent = connection.answer({ ...at('silent'), queue: 'silent', repeatHeaders: [] }, () => 1);
    const events: unknown[] = [];
    const taken = connection.subscribe(
      { queue: 'orders', exchange: 'shop', routingKey: 'order.created' },
      (order, { headers }) => {
        events.push([order, headers['x-tenant']]);
        return Settlement.ack();
      },
    );
    await Promise.all([handlers.ready, silent.ready, taken.ready]);
    const at9 = await place('golevelup', {
      dependencies: DEPENDENCIES,
      type: 'commonjs',
      files: { 'caller.js': CALLER },
    });
    const run = await at9.run(['node', 'caller.js'], { env: { RMQ_URL: faults.vhost.url } });
    expect(run).toMatchObject({ code: 0, stdout: '[{"cents":7},{"cents":7},3,null,"RpcTimeoutError"]\n' });
    await until('its event came', () => events.length === 1);
    expect(events).toEqual([[{ id: 'o-1' }, 'acme']]);
    const what = 'its callers get answers of `@Rpc`, several on one queue, also with `X-Request-ID`';
    await noteRow({ topic: 'Clients', what, at: at9, packages, run });
  });

  it('answers calls of ours by routing key, and takes our events', async () => {
    const connection = await ours();
    const at9 = await place('golevelup', {
      dependencies: DEPENDENCIES,
      type: 'commonjs',
      files: { 'responder.js': RESPONDER },
    });
    const program = await at9.start(['node', 'responder.js'], { env: { RMQ_URL: faults.vhost.url } });
    faults.afterwards(() => program.dispose());
    await program.untilItSays('ready');
    const ask = (routingKey: string, payload: unknown) =>
      connection.rpc.request({ exchange: 'shop', routingKey }, payload);
    expect(await ask('weight', 'tea')).toEqual({ grams: 3 });
    expect(await ask('echo', 'tea')).toEqual(['tea']);
    expect(await ask('echo', null)).toBeUndefined();
    await connection.publisher.publish('shop', 'order.accepted', { id: 'o-1' }, { headers: { 'x-tenant': 'acme' } });
    await program.untilItSays('"acme"');
    expect(program.stdout).toContain('{"payload":{"id":"o-1"},"type":"application/json","tenant":"acme"}');
    await noteRow({
      topic: 'Clients',
      what: 'its handlers answer `request()` and take events',
      at: at9,
      packages,
      run: program,
    });
  });

  it('has no option, decorator or method that the table of its names leaves out, and the table has no others', async () => {
    const at9 = await place('golevelup', { dependencies: DEPENDENCIES, type: 'commonjs' });
    const lib = `${at9.folder}/node_modules/@golevelup/nestjs-rabbitmq/lib`;
    const files = readdirSync(lib, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.d.ts') && !/definition|utils/.test(file))
      .map((file) => `${lib}/${file}`);
    const named = [...memberNames(files, LOOKED_UP), ...exportedValues(files)];
    expect(named.length).toBeGreaterThan(100);
    expect(namesInTable('docs/reference/from-golevelup.md').toSorted()).toEqual([...new Set(named)].toSorted());
  });
});
