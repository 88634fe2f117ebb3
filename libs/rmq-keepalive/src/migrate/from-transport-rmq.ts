/** From `Transport.RMQ` of `@nestjs/microservices`: servers and clients change their transport, handlers and options stay. */
import { type CallExpression, type Decorator, Node, type ObjectLiteralExpression, type SourceFile } from 'ts-morph';
import { addImport, dropUnusedImports, literalOf, localName, noteBefore, OURS, todo, valueOf } from './edits.js';

const NEST = '@nestjs/microservices';
const TRANSPORT = `${OURS}/microservices`;

export function fromTransportRmq(file: SourceFile): void {
  const transport = localName(file, NEST, 'Transport');
  if (transport === undefined) return;
  for (;;) {
    const literal = file.getDescendants().find((node) => isRmq(node, transport)) as ObjectLiteralExpression | undefined;
    if (literal === undefined) break;
    const side = sideOf(literal);
    if (side === 'server') toServer(file, literal);
    else if (side === 'client') toClient(file, literal);
    else leave(literal);
  }
  dropUnusedImports(file, NEST);
}

function isRmq(node: Node, transport: string): boolean {
  if (!Node.isObjectLiteralExpression(node) || isLeft(node)) return false;
  return valueOf(node, 'transport')?.getText() === `${transport}.RMQ`;
}

function isLeft(literal: ObjectLiteralExpression): boolean {
  return literal.getText().startsWith(`{\n${todo('')}`);
}

function sideOf(literal: ObjectLiteralExpression): 'server' | 'client' | undefined {
  const user = literal.getFirstAncestor(
    (node): node is CallExpression | Decorator =>
      (Node.isCallExpression(node) || Node.isDecorator(node)) && roleOf(node) !== undefined,
  );
  if (user !== undefined) return roleOf(user);
  const type = literal.getFirstAncestor(Node.isVariableDeclaration)?.getTypeNode()?.getText() ?? '';
  if (/MicroserviceOptions/.test(type)) return 'server';
  return /Client(s|Provider|Options)/.test(type) ? 'client' : undefined;
}

function roleOf(user: CallExpression | Decorator): 'server' | 'client' | undefined {
  if (Node.isDecorator(user)) return user.getName() === 'Client' ? 'client' : undefined;
  const called = user.getExpression().getText();
  if (/\.(createMicroservice|connectMicroservice)$/.test(called)) return 'server';
  return /(^|\.)(ClientsModule\.register(Async)?|ClientProxyFactory\.create)$/.test(called) ? 'client' : undefined;
}

function toServer(file: SourceFile, literal: ObjectLiteralExpression): void {
  const options = valueOf(literal, 'options')?.getText() ?? '{}';
  addShutdownHooks(replaceTransport(literal, `strategy: new RmqServer(${options})`, ['transport', 'options']));
  addImport(file, TRANSPORT, 'RmqServer');
}

function toClient(file: SourceFile, literal: ObjectLiteralExpression): void {
  replaceTransport(literal, 'customClass: RmqClient', ['transport']);
  addImport(file, TRANSPORT, 'RmqClient');
}

function replaceTransport(literal: ObjectLiteralExpression, by: string, leftOut: readonly string[]): Node {
  const lines = literal.getProperties().flatMap((property) => {
    const name =
      Node.isPropertyAssignment(property) || Node.isShorthandPropertyAssignment(property) ? property.getName() : '';
    if (name === 'transport') return [by];
    return leftOut.includes(name) ? [] : [property.getText()];
  });
  return literal.replaceWithText(literalOf(lines));
}

function leave(literal: ObjectLiteralExpression): void {
  const lines = literal.getProperties().map((property) => property.getText());
  const note = todo(
    'nothing here says whether this is a server (strategy: new RmqServer(options)) or a client (customClass: RmqClient, options).',
  );
  literal.replaceWithText(literalOf([note, ...lines]));
}

/** With them handlers end in peace before the connection closes. */
function addShutdownHooks(server: Node): void {
  const statement = server.getFirstAncestor(Node.isVariableStatement);
  if (server.getSourceFile().getText().includes('enableShutdownHooks')) return;
  const name = statement?.getDeclarations()[0]?.getNameNode();
  if (statement === undefined || !Node.isIdentifier(name))
    return noteBefore(
      server,
      'call enableShutdownHooks() of the application, so that handlers end before the connection does.',
    );
  const block = statement.getParentOrThrow();
  if (!Node.isStatemented(block)) return;
  block.insertStatements(statement.getChildIndex() + 1, `${name.getText()}.enableShutdownHooks();`);
}
