/**
 * The product as its users run it: a Nest application, `RmqPublisher`, `@Subscribe`, `RmqRpcClient`, `@Rpc`. Nest is loaded from the workspace, as
 * the library itself does; the one under bench/ is the peers' and another copy.
 */
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../package.json', import.meta.url));
const { Injectable, Module } = require('@nestjs/common');
const { NestFactory } = require('@nestjs/core');
const { Payload } = require('@nestjs/microservices');

/** @param library one of the package's builds */
export function oursWith({ RmqKeepaliveModule, RmqPublisher, RmqRpcClient, Rpc, Subscribe }) {
  /** @param connection further options of `forRoot` */
  async function openPublisher({ url, queue, persistent, connection }) {
    const app = await boot({ url, connection });
    const publisher = app.get(RmqPublisher);
    const options = { persistent };
    return (payload, settle) => void publisher.sendToQueue(queue, payload, options).then(() => settle(), settle);
  }

  async function openConsumer({ url, queue, prefetch, handle, connection }) {
    class BenchConsumer {
      onMessage(payload) {
        handle(payload);
      }
    }
    const method = Object.getOwnPropertyDescriptor(BenchConsumer.prototype, 'onMessage');
    Payload()(BenchConsumer.prototype, 'onMessage', 0);
    Subscribe({ queue, prefetch })(BenchConsumer.prototype, 'onMessage', method);
    Injectable()(BenchConsumer);
    await boot({ url, connection, providers: [BenchConsumer] });
  }

  async function openCaller({ url, queue, connection }) {
    const rpc = (await boot({ url, connection })).get(RmqRpcClient);
    const target = { queue };
    return (payload, settle) => void rpc.request(target, payload).then((answer) => settle(undefined, answer), settle);
  }

  async function openResponder({ url, queue, prefetch, answer, connection }) {
    class BenchResponder {
      onRequest(payload) {
        return answer(payload);
      }
    }
    const method = Object.getOwnPropertyDescriptor(BenchResponder.prototype, 'onRequest');
    Payload()(BenchResponder.prototype, 'onRequest', 0);
    Rpc({ queue, prefetch })(BenchResponder.prototype, 'onRequest', method);
    Injectable()(BenchResponder);
    await boot({ url, connection, providers: [BenchResponder] });
  }

  function boot({ url, connection, providers = [] }) {
    class BenchModule {}
    const options = { urls: url, startup: 'wait', ...connection };
    Module({ imports: [RmqKeepaliveModule.forRoot(options)], providers })(BenchModule);
    return NestFactory.createApplicationContext(BenchModule, { logger: false });
  }

  return { openCaller, openConsumer, openPublisher, openResponder };
}
