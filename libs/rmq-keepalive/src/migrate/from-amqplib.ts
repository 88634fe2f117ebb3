/**
 * From `amqplib`: a program that connects, declares and consumes becomes one on a managed connection. What it does with a
 * message stays as it is, and settles it by the delivery.
 */
import {
  type ArrowFunction,
  type CallExpression,
  Node,
  type SourceFile,
  type Statement,
  type VariableDeclaration,
} from 'ts-morph';
import {
  addImport,
  dropUnusedImports,
  importsFrom,
  isStatementOrMember,
  literalOf,
  localName,
  noteBefore,
  OURS,
  replaceEach,
} from './edits.js';
import { delivery } from './from-golevelup.js';

const THEIRS = 'amqplib';

export function fromAmqplib(file: SourceFile): void {
  if (!importsFrom(file, THEIRS)) return;
  const connection = declared(file, (call) => isConnect(file, call));
  if (connection === undefined) return;
  const name = connection.getName();
  const channels = channelsOf(file, name);
  const declarations = new Declarations();
  for (const channel of channels) gather(file, channel, declarations);
  for (const channel of channels) {
    consumers(file, name, channel, declarations);
    publishes(file, name, channel);
  }
  listeners(file, name);
  for (const channel of channels) leftovers(file, channel);
  dial(file, name, declarations);
  dropUnusedImports(file, THEIRS);
}

function isConnect(file: SourceFile, call: CallExpression): boolean {
  const called = call.getExpression().getText();
  const byName = localName(file, THEIRS, 'connect');
  if (byName !== undefined && called === byName) return true;
  return file.getImportDeclarations().some((each) => {
    if (each.getModuleSpecifierValue() !== THEIRS) return false;
    const whole = each.getDefaultImport() ?? each.getNamespaceImport();
    return whole !== undefined && called === `${whole.getText()}.connect`;
  });
}

/** `const x = await call(...)`. */
function declared(file: SourceFile, fits: (call: CallExpression) => boolean): VariableDeclaration | undefined {
  return file.getDescendants().find((node): node is VariableDeclaration => {
    if (!Node.isVariableDeclaration(node)) return false;
    const awaited = node.getInitializer();
    const call = Node.isAwaitExpression(awaited) ? awaited.getExpression() : undefined;
    return Node.isCallExpression(call) && fits(call);
  });
}

/** The names of all channels of a connection; their declarations go. */
function channelsOf(file: SourceFile, connection: string): string[] {
  const names: string[] = [];
  const opens = [`${connection}.createChannel`, `${connection}.createConfirmChannel`];
  for (;;) {
    const channel = declared(file, (call) => opens.includes(call.getExpression().getText()));
    if (channel === undefined) return names;
    names.push(channel.getName());
    channel.getVariableStatementOrThrow().remove();
  }
}

interface Binding {
  readonly exchange: string;
  readonly routingKey: string;
}

/** As the program wrote them: all texts are expressions. */
class Declarations {
  readonly exchanges = new Map<string, { type: string; options: string | undefined }>();
  readonly queues = new Map<string, string | undefined>();
  readonly bindings = new Map<string, Binding[]>();
  prefetch: string | undefined;

  /** Of a subscription: whatever of it is declared with it leaves the topology. */
  takeFor(queue: string): string[] {
    const lines = [`queue: ${queue}`];
    const options = this.queues.get(queue);
    if (options !== undefined) lines.push(`queueOptions: ${options}`);
    this.queues.delete(queue);
    const [first, ...others] = this.bindings.get(queue) ?? [];
    this.bindings.delete(queue);
    if (first !== undefined) lines.push(...this.#exchangeLines(first.exchange), `routingKey: ${first.routingKey}`);
    if (others.length > 0) {
      const each = others.map(({ exchange, routingKey }) => `{ exchange: ${exchange}, routingKey: ${routingKey} }`);
      lines.push(`bindings: [${each.join(', ')}]`);
    }
    if (this.prefetch !== undefined) lines.push(`prefetch: ${this.prefetch}`);
    return lines;
  }

  get topology(): string | undefined {
    const exchanges = [...this.exchanges].map(
      ([name, { type, options }]) => `{ name: ${name}, type: ${type}${spread(options)} }`,
    );
    const queues = [...this.queues].map(([name, options]) => `{ name: ${name}${spread(options)} }`);
    const bindings = [...this.bindings].flatMap(([queue, all]) =>
      all.map(({ exchange, routingKey }) => `{ queue: ${queue}, exchange: ${exchange}, routingKey: ${routingKey} }`),
    );
    const parts = Object.entries({ exchanges, queues, bindings }).flatMap(([part, all]) =>
      all.length === 0 ? [] : [`${part}: [${all.join(', ')}]`],
    );
    return parts.length === 0 ? undefined : `topology: { ${parts.join(', ')} }`;
  }

  #exchangeLines(exchange: string): string[] {
    const known = this.exchanges.get(exchange);
    this.exchanges.delete(exchange);
    const lines = [`exchange: ${exchange}`];
    if (known !== undefined && known.type !== "'topic'") lines.push(`exchangeType: ${known.type}`);
    if (known?.options !== undefined) lines.push(`exchangeOptions: ${known.options}`);
    return lines;
  }
}

function spread(options: string | undefined): string {
  return options === undefined ? '' : `, ...${options}`;
}

/** Takes the statements that only declare. */
function gather(file: SourceFile, channel: string, found: Declarations): void {
  const takes: Readonly<Record<string, (given: readonly string[]) => void>> = {
    assertExchange: ([name = '', type = "'topic'", options]) => found.exchanges.set(name, { type, options }),
    assertQueue: ([name = "''", options]) => found.queues.set(name, options),
    bindQueue: ([queue = '', exchange = '', routingKey = "''"]) =>
      found.bindings.set(queue, [...(found.bindings.get(queue) ?? []), { exchange, routingKey }]),
    prefetch: ([count]) => (found.prefetch = count),
  };
  for (;;) {
    const call = file.getDescendants().find((node): node is CallExpression => isOf(node, channel, takes));
    const statement = call?.getFirstAncestor((each): each is Statement => Node.isExpressionStatement(each));
    if (call === undefined || statement === undefined) return;
    takes[methodOf(call)]?.(call.getArguments().map((each) => each.getText()));
    statement.remove();
  }
}

function isOf(node: Node, channel: string, takes: Readonly<Record<string, unknown>>): node is CallExpression {
  if (!Node.isCallExpression(node) || !node.getExpression().getText().startsWith(`${channel}.`)) return false;
  const holder = node.getParent();
  const isAlone =
    Node.isExpressionStatement(holder) ||
    (Node.isAwaitExpression(holder) && Node.isExpressionStatement(holder.getParent()));
  return isAlone && Object.hasOwn(takes, methodOf(node));
}

function methodOf(call: CallExpression): string {
  return call.getExpression().getText().split('.').at(-1) ?? '';
}

function consumers(file: SourceFile, connection: string, channel: string, declarations: Declarations): void {
  for (;;) {
    const call = file
      .getDescendants()
      .find(
        (node): node is CallExpression =>
          Node.isCallExpression(node) && node.getExpression().getText() === `${channel}.consume`,
      );
    if (call === undefined) return;
    const [queue, handler, options] = call.getArguments();
    if (Node.isArrowFunction(handler)) handle(handler, channel);
    const isUnacked = /noAck:\s*true/.test(options?.getText() ?? '');
    const lines = [...declarations.takeFor(queue?.getText() ?? "''"), isUnacked ? "ack: 'none'" : "ack: 'manual'"];
    const text = `${connection}.subscribe(${literalOf(lines)}, ${handler?.getText() ?? '() => undefined'})`;
    const holder = call.getParent();
    (Node.isAwaitExpression(holder) ? holder : call).replaceWithText(text);
  }
}

/** `(message) => {...}` becomes `async (payload, delivery) => {...}`. */
function handle(handler: ArrowFunction, channel: string): void {
  const parameter = handler.getParameters()[0];
  if (parameter === undefined) return;
  const message = parameter.getName();
  replaceEach(handler, (node) => {
    if (!Node.isIfStatement(node)) return undefined;
    const condition = node.getExpression().getText().replace(/\s/g, '');
    return [`${message}===null`, `${message}==null`, `!${message}`].includes(condition) ? '' : undefined;
  });
  replaceEach(handler, (node) => settled(node, channel, message) ?? parsed(node, message));
  delivery(handler, message);
  parameter.replaceWithText('payload');
  handler.addParameter({ name: 'delivery' });
  if (message !== 'delivery')
    replaceEach(handler, (node) => (Node.isIdentifier(node) && node.getText() === message ? 'delivery' : undefined));
  floating(handler);
}

function settled(node: Node, channel: string, message: string): string | undefined {
  if (!Node.isCallExpression(node)) return undefined;
  const [first, second, third] = node.getArguments().map((each) => each.getText());
  if (first !== message) return undefined;
  const called = node.getExpression().getText();
  const isAlone = second === undefined || second === 'false';
  if (called === `${channel}.ack` && isAlone) return 'delivery.ack()';
  if (called === `${channel}.reject`) return second === 'false' ? 'delivery.reject()' : 'delivery.requeue()';
  if (called !== `${channel}.nack` || !isAlone) return undefined;
  return third === 'false' ? 'delivery.reject()' : 'delivery.requeue()';
}

/** The library has read the JSON. */
function parsed(node: Node, message: string): string | undefined {
  if (!Node.isCallExpression(node)) return undefined;
  const text = node.getText().replace(/[\s!?]/g, '');
  const read = [`${message}.content.toString()`, `${message}.content.toString('utf8')`, `String(${message}.content)`];
  return read.some((each) => text === `JSON.parse(${each})`) ? 'payload' : undefined;
}

/** A handler ends when its work does, and fails with it. */
function floating(handler: ArrowFunction): void {
  handler.setIsAsync(true);
  const body = handler.getBody();
  if (!Node.isBlock(body)) return;
  for (const statement of body.getStatements()) {
    if (!Node.isExpressionStatement(statement)) continue;
    const call = statement.getExpression();
    if (Node.isCallExpression(call) && /\.(then|catch|finally)$/.test(call.getExpression().getText()))
      call.replaceWithText(`await ${call.getText()}`);
  }
}

function publishes(file: SourceFile, connection: string, channel: string): void {
  const methods = { [`${channel}.publish`]: 'publish', [`${channel}.sendToQueue`]: 'sendToQueue' } as const;
  for (;;) {
    const call = file
      .getDescendants()
      .find((node): node is CallExpression => Node.isCallExpression(node) && node.getExpression().getText() in methods);
    if (call === undefined) return;
    const method = methods[call.getExpression().getText()];
    const given = call.getArguments();
    const addressed = given.slice(0, method === 'publish' ? 2 : 1).map((each) => each.getText());
    const [content, options] = given.slice(addressed.length);
    const text = `${connection}.publisher.${method}(${[...addressed, payloadOf(content), publishOptions(options)].join(', ')})`;
    const around = call.getFirstAncestor(
      (node) => Node.isArrowFunction(node) || Node.isFunctionDeclaration(node) || Node.isFunctionExpression(node),
    );
    const isStatement = Node.isExpressionStatement(call.getParent());
    if (isStatement && (around === undefined || Node.isArrowFunction(around))) {
      call.replaceWithText(`await ${text}`);
      if (Node.isArrowFunction(around)) around.setIsAsync(true);
    } else call.replaceWithText(text);
  }
}

/** `Buffer.from(JSON.stringify(x))` is `x`: the library writes JSON. */
function payloadOf(content: Node | undefined): string {
  if (content === undefined) return 'null';
  const [, json] = /^Buffer\.from\(JSON\.stringify\(([\s\S]*)\)\)$/.exec(content.getText()) ?? [];
  return json ?? content.getText();
}

/** amqplib does not ask for returns, and drops what no queue takes. */
function publishOptions(options: Node | undefined): string {
  const lines = Node.isObjectLiteralExpression(options)
    ? options
        .getProperties()
        .map((each) => each.getText())
        .filter((each) => !/^persistent:\s*true$/.test(each))
    : options === undefined
      ? []
      : [`...${options.getText()}`];
  const isAsked = lines.some((each) => each.startsWith('mandatory'));
  return `{ ${[...lines, ...(isAsked ? [] : ['mandatory: false'])].join(', ')} }`;
}

/** One listener for all that happens takes the place of those for 'error' and 'close'. */
function listeners(file: SourceFile, connection: string): void {
  let isHeard = false;
  for (;;) {
    const statement = file
      .getDescendants()
      .find((node) => Node.isExpressionStatement(node) && isListener(node.getText(), connection));
    if (statement === undefined) return;
    if (isHeard) (statement as Statement).remove();
    else statement.replaceWithText(`${connection}.on('*', (event) => console.log(describeEvent(event).sentence));`);
    if (!isHeard) addImport(file, OURS, 'describeEvent');
    isHeard = true;
  }
}

function isListener(text: string, connection: string): boolean {
  return text.startsWith(`${connection}.on('error'`) || text.startsWith(`${connection}.on('close'`);
}

function leftovers(file: SourceFile, channel: string): void {
  for (;;) {
    const left = file
      .getDescendants()
      .find(
        (node) =>
          Node.isPropertyAccessExpression(node) &&
          node.getExpression().getText() === channel &&
          !isNoted(node, channel),
      );
    if (left === undefined) return;
    noteBefore(left, noteOn(channel, left.getText()));
  }
}

const noteOn = (channel: string, used: string): string =>
  `there is no channel "${channel}" to use by hand, it would end with its link. See the guide for ${used}.`;

function isNoted(node: Node, channel: string): boolean {
  const holder = node.getFirstAncestor(isStatementOrMember);
  return holder === undefined || holder.getFullText().includes(noteOn(channel, node.getText()));
}

/** `connect(url)` becomes a connection with its topology, which starts behind the last subscription. */
function dial(file: SourceFile, name: string, declarations: Declarations): void {
  const connection = declared(file, (call) => isConnect(file, call));
  const call = connection?.getInitializer();
  if (connection === undefined || call === undefined || !Node.isAwaitExpression(call)) return;
  const connect = call.getExpression();
  if (!Node.isCallExpression(connect)) return;
  const { topology } = declarations;
  const lines = [`urls: ${connect.getArguments()[0]?.getText() ?? "'amqp://localhost'"}`, "startup: 'wait'"];
  if (topology !== undefined) lines.push(topology);
  const statement = connection.getVariableStatementOrThrow();
  connection.setInitializer(`new RmqConnection(${literalOf(lines)})`);
  addImport(file, OURS, 'RmqConnection');
  const block = statement.getParentOrThrow();
  if (!Node.isStatemented(block)) return;
  const last = block.getStatements().findLast((each) => each.getText().includes(`${name}.subscribe(`)) ?? statement;
  block.insertStatements(last.getChildIndex() + 1, [
    `await ${name}.start();`,
    `process.once('SIGTERM', () => void ${name}.close());`,
  ]);
}
