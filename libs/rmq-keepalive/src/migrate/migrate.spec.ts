import { describe, expect, it } from '@jest/globals';
import { Project } from 'ts-morph';
import { migrate, type Source } from './migrate.js';

const GOLEVELUP = '@golevelup/nestjs-rabbitmq';

function migrated(from: Source, before: string): { text: string; todos: number } {
  const project = new Project({ useInMemoryFileSystem: true });
  const file = project.createSourceFile('it.ts', before);
  const [changed] = migrate(project, from);
  return { text: squeezed(file.getFullText()), todos: changed?.todos ?? 0 };
}

/** Layout is left to a formatter. */
const squeezed = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(/([[({]) | (?=[\])},;])/g, '$1')
    .replace(/,(?=[\])}])/g, '')
    .trim();

describe('from golevelup', () => {
  const handler = (options: string, imports = 'RabbitSubscribe'): { text: string; todos: number } =>
    migrated(
      'golevelup',
      `import { ${imports} } from '${GOLEVELUP}';\nclass A { @RabbitSubscribe(${options}) on() {} }`,
    );

  it.each([
    [
      "{ exchange: 'e', routingKey: ['a', 'b'], queue: 'q' }",
      "@Subscribe({exchange: 'e', routingKey: ['a', 'b'], queue: 'q'})",
    ],
    ["{ queue: 'q', queueOptions: { channel: 'c' } }", "@Subscribe({queue: 'q'})"],
    [
      "{ queue: 'q', queueOptions: { exclusive: true, bindQueueArguments: { a: 1 }, consumerOptions: { noAck: true } } }",
      "@Subscribe({queue: 'q', queueOptions: {exclusive: true}, bindingArguments: {a: 1}, ack: 'none'})",
    ],
    [
      "{ queue: 'q', batchOptions: { size: 5, timeout: 50 } }",
      "@SubscribeBatch({queue: 'q', batch: {size: 5, waitMs: 50}})",
    ],
    ["{ queue: 'q', createQueueIfNotExists: false }", "@Subscribe({queue: 'q', ifQueueMissing: 'wait'})"],
  ])('the options of a handler: %s', (options, expected) => {
    expect(handler(options)).toEqual({ text: expect.stringContaining(expected), todos: 0 });
  });

  it('what has no counterpart is a note, with what stood there', () => {
    const { text, todos } = handler("{ queue: 'q', errorHandler: logIt, unheardOf: 1 }");
    expect(todos).toBe(2);
    expect(text).toContain('It was: logIt');
    expect(text).toContain('unheardOf: 1');
  });

  it('options that are written elsewhere are named', () => {
    const { text, todos } = handler('OPTIONS');
    expect(text).toContain('@Subscribe(OPTIONS)');
    expect(todos).toBe(1);
  });

  it('who publishes and asks gets both', () => {
    const { text } = migrated(
      'golevelup',
      `import { AmqpConnection } from '${GOLEVELUP}';
      class A {
        constructor(private readonly amqp: AmqpConnection) {}
        go() { this.amqp.publish('e', 'k', 1); return this.amqp.request({ exchange: 'e', routingKey: 'k' }); }
      }`,
    );
    expect(text).toContain('constructor(private readonly amqp: RmqPublisher, private readonly rpc: RmqRpcClient)');
    expect(text).toContain("this.rpc.request({exchange: 'e', routingKey: 'k'}, null)");
    expect(text).not.toContain(GOLEVELUP);
  });

  it('another method of the connection is named', () => {
    const { text, todos } = migrated(
      'golevelup',
      `import { AmqpConnection } from '${GOLEVELUP}';
      class A { constructor(private readonly amqp: AmqpConnection) {} go() { this.amqp.cancelConsumer('tag'); } }`,
    );
    expect(text).toContain('AmqpConnection.cancelConsumer');
    expect(todos).toBe(1);
  });

  it('an alias is followed, and a file without the library is left alone', () => {
    const aliased = migrated('golevelup', `import { Nack as No } from '${GOLEVELUP}';\nconst a = new No(true);`);
    expect(aliased.text).toContain('const a = Settlement.requeue();');
    const untouched = 'class Nack {}\nexport const a = new Nack();\n';
    expect(migrated('golevelup', untouched)).toEqual({ text: squeezed(untouched), todos: 0 });
  });
});

describe('from Transport.RMQ', () => {
  const imports = "import { Transport, type ClientOptions } from '@nestjs/microservices';\n";

  it.each([
    ['app.connectMicroservice({ transport: Transport.RMQ, options: o })', 'strategy: new RmqServer(o)', 1],
    [
      "ClientsModule.registerAsync([{ name: 'A', useFactory: () => ({ transport: Transport.RMQ, options: o }) }])",
      'customClass: RmqClient, options: o',
      0,
    ],
    ['class A { @Client({ transport: Transport.RMQ, options: o }) client; }', 'customClass: RmqClient, options: o', 0],
    ['const c: ClientOptions = { transport: Transport.RMQ, options: o }', 'customClass: RmqClient, options: o', 0],
    ['export default { transport: Transport.RMQ, options: o }', 'transport: Transport.RMQ, options: o', 1],
  ])('%s', (code, expected, todos) => {
    const { text, todos: found } = migrated('transport-rmq', `${imports}${code};`);
    expect(text).toContain(expected);
    expect(found).toBe(todos);
  });

  it('other transports stay', () => {
    const code = `${imports}app.connectMicroservice({ transport: Transport.TCP });`;
    expect(migrated('transport-rmq', code).text).toContain('transport: Transport.TCP');
  });
});

describe('from amqplib', () => {
  const program = (body: string): string => `import amqp from 'amqplib';
    const connection = await amqp.connect('amqp://a');
    const channel = await connection.createChannel();
    ${body}`;

  it('entities that nobody consumes are the topology', () => {
    const { text } = migrated(
      'amqplib',
      program(
        "await channel.assertExchange('e', 'fanout'); await channel.assertQueue('q', { durable: true }); await channel.bindQueue('q', 'e', '');",
      ),
    );
    expect(text).toContain(
      "topology: {exchanges: [{name: 'e', type: 'fanout'}], queues: [{name: 'q', ...{durable: true}}], bindings: [{queue: 'q', exchange: 'e', routingKey: ''}]}",
    );
    expect(text).toContain('await connection.start();');
  });

  it.each([
    ['channel.ack(m)', 'delivery.ack()'],
    ['channel.nack(m)', 'delivery.requeue()'],
    ['channel.nack(m, false, false)', 'delivery.reject()'],
    ['channel.reject(m, false)', 'delivery.reject()'],
    [
      'use(m.fields.routingKey, m.content, m.properties.headers)',
      'use(delivery.routingKey, delivery.body, delivery.properties.headers)',
    ],
  ])('%s is %s', (theirs, ours) => {
    const { text, todos } = migrated(
      'amqplib',
      program(`await channel.consume('q', (m) => { if (!m) return; ${theirs}; });`),
    );
    expect(text).toContain(ours);
    expect(todos).toBe(0);
  });

  it('what only a channel can do is named', () => {
    const { text, todos } = migrated(
      'amqplib',
      program("const message = await channel.get('q'); await channel.checkQueue('q');"),
    );
    expect(todos).toBe(2);
    expect(text).toContain("channel.get('q')");
  });
});
