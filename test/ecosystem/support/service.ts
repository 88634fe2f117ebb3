/**
 * A small service in plain JavaScript, for loaders and bundlers: it consumes one message of its own, blocks its event loop for
 * BLOCK_MS in the handler, and says how that went. No decorators, so that nothing has to compile it.
 */
const IMPORTS = {
  module: `import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { RmqConnection, RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';`,
  commonjs: `require('reflect-metadata');
const { Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { RmqConnection, RmqKeepaliveModule, RmqPublisher, Subscribe } = require('nestjs-rmq-keepalive');`,
};

export function serviceIn(type: 'module' | 'commonjs'): string {
  return `${IMPORTS[type]}

let handled;
const done = new Promise((resolve) => (handled = resolve));

class OrdersConsumer {
  onOrder(order) {
    const until = order.id === 'first' ? Date.now() + Number(process.env.BLOCK_MS ?? 0) : 0;
    while (Date.now() < until);
    handled(order.id);
  }
}
const handler = Object.getOwnPropertyDescriptor(OrdersConsumer.prototype, 'onOrder');
Subscribe({ queue: 'orders' })(OrdersConsumer.prototype, 'onOrder', handler);

class AppModule {}
Module({
  imports: [
    RmqKeepaliveModule.forRoot({
      urls: process.env.RMQ_URL,
      heartbeat: { thread: process.env.THREAD ?? 'main', timeoutSeconds: Number(process.env.HEARTBEAT ?? 10) },
    }),
  ],
  providers: [OrdersConsumer],
})(AppModule);

async function main() {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
  const connection = app.get(RmqConnection);
  await connection.whenOpen({ timeoutMs: 20000 });
  await app.get(RmqPublisher).sendToQueue('orders', { id: 'first' });
  const id = await done;
  // Behind the block: what became of the link meanwhile is known when the next confirm is here.
  await app.get(RmqPublisher).sendToQueue('orders', { id: 'second' });
  console.log(JSON.stringify({ id, reconnects: connection.status().reconnects }));
  await app.close();
}
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
`;
}
