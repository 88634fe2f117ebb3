/** From `@golevelup/nestjs-rabbitmq`: decorators, their options, the module, and what is injected. */
import {
  type ClassDeclaration,
  type Decorator,
  type MethodDeclaration,
  Node,
  type ObjectLiteralExpression,
  type SourceFile,
} from 'ts-morph';
import {
  addImport,
  as,
  byRules,
  decide,
  dropUnusedImports,
  gone,
  literalIn,
  literalOf,
  localName,
  noteBefore,
  OURS,
  replaceEach,
  type Rule,
  valueOf,
} from './edits.js';

const THEIRS = '@golevelup/nestjs-rabbitmq';
const NEST = '@nestjs/microservices';

export function fromGolevelup(file: SourceFile): void {
  for (const [theirs, ours] of [
    ['RabbitSubscribe', 'Subscribe'],
    ['RabbitRPC', 'Rpc'],
  ] as const)
    handlers(file, theirs, ours);
  for (const type of file.getClasses()) {
    for (const method of type.getMethods()) parameters(file, method);
    injected(file, type);
  }
  nacks(file);
  module(file);
  dropUnusedImports(file, THEIRS);
}

// Decorators of handlers

const QUEUE_RULES: Readonly<Record<string, Rule>> = {
  durable: as('durable'),
  exclusive: as('exclusive'),
  autoDelete: as('autoDelete'),
  arguments: as('arguments'),
  channel: gone,
  bindQueueArguments: gone,
  consumerOptions: gone,
  messageTtl: decide("write it as arguments: { 'x-message-ttl': ... }."),
  expires: decide("write it as arguments: { 'x-expires': ... }."),
  deadLetterExchange: decide("write it as arguments: { 'x-dead-letter-exchange': ... }, with deadLetter: false."),
  deadLetterRoutingKey: decide("write it as arguments: { 'x-dead-letter-routing-key': ... }."),
  maxLength: decide("write it as arguments: { 'x-max-length': ... }."),
  maxPriority: decide("write it as arguments: { 'x-max-priority': ... }."),
};

const CONSUMER_RULES: Readonly<Record<string, Rule>> = {
  noAck: (value) => (value.getText() === 'true' ? ["ack: 'none'"] : []),
  exclusive: as('exclusive'),
  priority: as('priority'),
  arguments: as('consumerArguments'),
  consumerTag: gone,
};

const FAILURES = 'a handler that throws sends its message to <queue>.dead, after retry: { attempts } if you say so.';

const HANDLER_RULES: Readonly<Record<string, Rule>> = {
  exchange: as('exchange'),
  routingKey: as('routingKey'),
  queue: as('queue'),
  bindings: as('bindings'),
  name: decide('handlers of the configuration are constants here: @Subscribe({ ...ordersQueue, routingKey }).'),
  connection: as('connection'),
  queueOptions: (value) => queueOptions(value),
  batchOptions: (value) => batchOptions(value),
  createQueueIfNotExists: (value) => (value.getText() === 'false' ? ["ifQueueMissing: 'wait'"] : []),
  allowNonJsonMessages: gone,
  assertQueueErrorHandler: gone,
  usePersistentReplyTo: gone,
  errorBehavior: decide(FAILURES),
  errorHandler: decide(`${FAILURES} An exception filter sees the error too.`),
};

function queueOptions(value: Node): readonly string[] {
  const literal = literalIn(value);
  if (literal === undefined) return [`queueOptions: ${value.getText()}`];
  const lines: string[] = [];
  const own = byRules(literal, QUEUE_RULES);
  if (own.length > 0) lines.push(`queueOptions: ${literalOf(own)}`);
  const bindingArguments = valueOf(literal, 'bindQueueArguments');
  if (bindingArguments !== undefined) lines.push(`bindingArguments: ${bindingArguments.getText()}`);
  const consumer = literalIn(valueOf(literal, 'consumerOptions'));
  if (consumer !== undefined) lines.push(...byRules(consumer, CONSUMER_RULES));
  return lines;
}

function batchOptions(value: Node): readonly string[] {
  const literal = literalIn(value);
  if (literal === undefined) return [`batch: ${value.getText()}`];
  const lines = byRules(literal, { size: as('size'), timeout: as('waitMs'), errorHandler: decide(FAILURES) });
  return [`batch: ${literalOf(lines)}`];
}

function handlers(file: SourceFile, theirs: string, ours: 'Subscribe' | 'Rpc'): void {
  const name = localName(file, THEIRS, theirs);
  if (name === undefined) return;
  for (;;) {
    const decorator = file
      .getDescendants()
      .find((node): node is Decorator => Node.isDecorator(node) && node.getName() === name);
    if (decorator === undefined) return;
    const [argument] = decorator.getArguments();
    const literal = literalIn(argument);
    const isBatch = literal?.getProperty('batchOptions') !== undefined;
    const target = isBatch ? 'SubscribeBatch' : ours;
    addImport(file, OURS, target);
    const options = literal === undefined ? argument?.getText() : literalOf(byRules(literal, HANDLER_RULES));
    const isOpen = literal === undefined && argument !== undefined;
    const changed = decorator.replaceWithText(`@${target}(${options ?? ''})`);
    if (isOpen) noteBefore(changed, `these options are written elsewhere: change them there, as the guide says.`);
  }
}

// Parameters of handlers

function parameters(file: SourceFile, method: MethodDeclaration): void {
  const is = (theirs: string, decorator: Decorator): boolean => decorator.getName() === localName(file, THEIRS, theirs);
  for (const parameter of method.getParameters()) {
    for (const decorator of parameter.getDecorators()) {
      const given = decorator
        .getArguments()
        .map((argument) => argument.getText())
        .join(', ');
      if (is('RabbitPayload', decorator)) {
        addImport(file, NEST, 'Payload');
        decorator.replaceWithText(`@Payload(${given})`);
      } else if (is('RabbitHeader', decorator)) {
        addImport(file, OURS, 'DeliveryHeaders');
        decorator.replaceWithText(`@DeliveryHeaders(${given})`);
      } else if (is('RabbitRequest', decorator)) {
        addImport(file, NEST, 'Ctx');
        addImport(file, OURS, 'Delivery', 'type');
        decorator.replaceWithText('@Ctx()');
        parameter.setType('Delivery');
        delivery(method, parameter.getName());
      }
    }
  }
}

/** What amqplib's message says, the delivery says too. */
export function delivery(within: Node, name: string): void {
  replaceEach(within, (node) => {
    if (!Node.isPropertyAccessExpression(node)) return undefined;
    const text = node.getText();
    if (text === `${name}.content`) return `${name}.body`;
    const [, field] = new RegExp(`^${name}\\.fields\\.(\\w+)$`).exec(text) ?? [];
    return field && `${name}.${field}`;
  });
}

function nacks(file: SourceFile): void {
  const name = localName(file, THEIRS, 'Nack');
  if (name === undefined) return;
  replaceEach(file, (node) => {
    if (Node.isNewExpression(node) && node.getExpression().getText() === name)
      return node.getArguments()[0]?.getText() === 'true' ? 'Settlement.requeue()' : 'Settlement.reject()';
    if (Node.isTypeReference(node) && node.getText() === name) return 'Settlement';
    return undefined;
  });
  addImport(file, OURS, 'Settlement');
}

// What is injected

function injected(file: SourceFile, type: ClassDeclaration): void {
  const name = localName(file, THEIRS, 'AmqpConnection');
  const constructor = type.getConstructors()[0];
  const parameter = constructor?.getParameters().find((each) => each.getTypeNode()?.getText() === name);
  if (name === undefined || constructor === undefined || parameter === undefined) return;
  const field = parameter.getName();
  const calls = callsOn(type, field);
  const asks = calls.includes('request');
  if (asks) requests(type, field, 'rpc');
  if (!asks || calls.includes('publish')) {
    parameter.setType('RmqPublisher');
    addImport(file, OURS, 'RmqPublisher');
    if (asks)
      constructor.addParameter({ name: 'rpc', type: 'RmqRpcClient', isReadonly: true, scope: parameter.getScope() });
  } else {
    parameter.setType('RmqRpcClient');
    parameter.rename('rpc');
  }
  if (asks) addImport(file, OURS, 'RmqRpcClient');
  for (const other of calls)
    if (other !== 'publish' && other !== 'request')
      noteBefore(
        type.getDescendants().find((node) => node.getText() === `this.${field}.${other}`) ?? type,
        `AmqpConnection.${other} has another name or no counterpart, see the guide.`,
      );
}

function callsOn(type: ClassDeclaration, field: string): string[] {
  const called = type.getDescendants().filter((node) => Node.isPropertyAccessExpression(node));
  return called.flatMap((node) => (node.getExpression().getText() === `this.${field}` ? [node.getName()] : []));
}

/** `request({ exchange, routingKey, payload, timeout })` becomes `request({ exchange, routingKey }, payload, { timeoutMs })`. */
function requests(type: ClassDeclaration, field: string, ours: string): void {
  const unread = new Set<string>();
  replaceEach(type, (node) => {
    if (!Node.isCallExpression(node) || node.getExpression().getText() !== `this.${field}.request`) return undefined;
    const literal = literalIn(node.getArguments()[0]);
    const types = node.getTypeArguments().map((each) => each.getText());
    const generic = types.length > 0 ? `<${types.join(', ')}>` : '';
    if (literal === undefined) {
      unread.add(
        node
          .getArguments()
          .map((each) => each.getText())
          .join(', '),
      );
      return `this.${ours}.request${generic}(${node
        .getArguments()
        .map((each) => each.getText())
        .join(', ')})`;
    }
    return `this.${ours}.request${generic}(${requestArguments(literal).join(', ')})`;
  });
  for (const given of unread) {
    const call = type
      .getDescendants()
      .find((node) => Node.isCallExpression(node) && node.getText().endsWith(`.request(${given})`));
    if (call !== undefined) noteBefore(call, 'request() takes an address, a payload and options here.');
  }
}

function requestArguments(literal: ObjectLiteralExpression): string[] {
  const address = ['exchange', 'routingKey'].flatMap((name) => {
    const value = valueOf(literal, name);
    return value === undefined ? [] : [value.getText() === name ? name : `${name}: ${value.getText()}`];
  });
  const payload = valueOf(literal, 'payload')?.getText() ?? 'null';
  const options = byRules(literal, {
    exchange: gone,
    routingKey: gone,
    payload: gone,
    timeout: as('timeoutMs'),
    headers: as('headers'),
    correlationId: gone,
    expiration: gone,
    publishOptions: decide('see the options of request().'),
  });
  return [`{ ${address.join(', ')} }`, payload, ...(options.length === 0 ? [] : [literalOf(options)])];
}

// The module

const MODULE_RULES: Readonly<Record<string, Rule>> = {
  uri: as('urls'),
  name: as('name'),
  exchanges: gone,
  queues: gone,
  exchangeBindings: gone,
  connectionInitOptions: (value) => startup(literalIn(value)),
  prefetchCount: decide('the prefetch belongs to each subscription: @Subscribe({ prefetch }), 20 by default.'),
  channels: gone,
  enableControllerDiscovery: gone,
  enableDirectReplyTo: gone,
  logger: gone,
  registerHandlers: decide('give the handlers to modules that are imported where they are wanted.'),
  defaultRpcTimeout: (value) => [`rpc: { timeoutMs: ${value.getText()} }`],
  defaultExchangeType: decide("write exchangeType at each handler, 'topic' by default."),
  defaultPublishOptions: decide('publish: { persistent, mandatory, timeoutMs }.'),
  defaultSubscribeErrorBehavior: decide(FAILURES),
  defaultRpcErrorHandler: decide('errors of @Rpc go to the caller; an exception filter sees them.'),
  connectionManagerOptions: decide('heartbeat, reconnect, tls and clientProperties are options here.'),
  handlers: decide('a constant for each: @Subscribe({ ...ordersQueue }).'),
  serializer: decide('codec: { contentType, encode, decode }.'),
  deserializer: decide('codec: { contentType, encode, decode }.'),
};

function startup(literal: ObjectLiteralExpression | undefined): readonly string[] {
  const wait = literal && valueOf(literal, 'wait')?.getText();
  if (wait === 'false') return [];
  const reject = literal && valueOf(literal, 'reject')?.getText();
  return [`startup: ${reject === 'false' ? "'wait'" : "'fail-fast'"}`];
}

function module(file: SourceFile): void {
  const name = localName(file, THEIRS, 'RabbitMQModule');
  if (name === undefined) return;
  replaceEach(file, (node) => {
    if (!Node.isCallExpression(node)) return undefined;
    const [, method] =
      new RegExp(`^${name}\\.(forRoot|forRootAsync|register)$`).exec(node.getExpression().getText()) ?? [];
    if (method === undefined) return undefined;
    const [argument] = node.getArguments();
    const target = method === 'forRootAsync' ? 'forRootAsync' : 'forRoot';
    const options = literalIn(target === 'forRoot' ? argument : valueOf(literalIn(argument)!, 'useFactory'));
    const given = argument?.getText() ?? '';
    if (options === undefined) return `RmqKeepaliveModule.${target}(${given})`;
    return `RmqKeepaliveModule.${target}(${given.replace(options.getText(), () => connectionOptions(options))})`;
  });
  addImport(file, OURS, 'RmqKeepaliveModule');
  if (file.getDescendants().some((node) => Node.isIdentifier(node) && node.getText() === name && !isImport(node)))
    for (const node of file
      .getDescendants()
      .filter((each) => Node.isIdentifier(each) && each.getText() === name && !isImport(each)))
      noteBefore(node, 'RmqKeepaliveModule is global: import it once, with its options.');
}

function isImport(node: Node): boolean {
  return node.getFirstAncestor(Node.isImportDeclaration) !== undefined;
}

function connectionOptions(literal: ObjectLiteralExpression): string {
  const lines = byRules(literal, MODULE_RULES);
  const topology = (
    [
      ['exchanges', 'exchanges'],
      ['queues', 'queues'],
      ['exchangeBindings', 'bindings'],
    ] as const
  ).flatMap(([theirs, ours]) => {
    const value = valueOf(literal, theirs);
    return value === undefined ? [] : [`${ours}: ${value.getText()}`];
  });
  return literalOf(topology.length === 0 ? lines : [...lines, `topology: { ${topology.join(', ')} }`]);
}
