/**
 * One Nest application out of both builds of the package: the module is one's, all that a library brings is the other's. Prints
 * what came of each thing that crosses the border.
 *
 *   node two-builds.mjs <url> <esm | cjs: whose module it is>
 */
import 'reflect-metadata';
import { createRequire } from 'node:module';
import { Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import * as esm from 'nestjs-rmq-keepalive';
import * as esmErrors from 'nestjs-rmq-keepalive/errors';
import * as esmTerminus from 'nestjs-rmq-keepalive/terminus';
import * as esmTransport from 'nestjs-rmq-keepalive/microservices';

const require = createRequire(import.meta.url);
const builds = {
  esm: { ...esm, errors: esmErrors, ...esmTerminus, ...esmTransport },
  cjs: {
    ...require('nestjs-rmq-keepalive'),
    errors: require('nestjs-rmq-keepalive/errors'),
    ...require('nestjs-rmq-keepalive/terminus'),
    ...require('nestjs-rmq-keepalive/microservices'),
  },
};
const [url, whose] = process.argv.slice(2);
const own = builds[whose];
const other = builds[whose === 'esm' ? 'cjs' : 'esm'];
const facts = { areTwo: own.RmqPublisher !== other.RmqPublisher };

const created = other.defineEvent({ exchange: 'shop', routingKey: 'created' });
const quote = other.defineRpc({ queue: 'quotes' });
const attempts = [];
let accepted;
const handled = new Promise((resolve) => (accepted = resolve));

class Consumer {
  constructor(publisher, connection, deadLetters) {
    Object.assign(this, { publisher, connection, deadLetters });
  }
  onCreated(order, delivery) {
    attempts.push(order.id);
    if (order.id === 'bad') return other.Settlement.reject();
    accepted({ id: order.id, tenant: delivery.headers['x-tenant'] });
    return undefined;
  }
  quote({ item }) {
    if (item === 'tea') throw new other.RpcFailure('Not enough', { code: 'OUT_OF_STOCK', data: { left: 2 } });
    return { cents: 7 };
  }
}
// As TypeScript writes it for a constructor with the other copy's classes.
Reflect.defineMetadata('design:paramtypes', [other.RmqPublisher, other.RmqConnection, other.RmqDeadLetters], Consumer);
Inject(other.RmqPublisher)(Consumer, undefined, 0);
const on = (method, decorator) =>
  decorator(Consumer.prototype, method, Object.getOwnPropertyDescriptor(Consumer.prototype, method));
on('onCreated', other.Subscribe(created, { queue: 'orders' }));
on('quote', other.Rpc(quote));

class Library {}
Module({
  imports: [
    other.RmqKeepaliveModule.forFeature({ exchanges: [{ name: 'audit', type: 'fanout' }] }),
    other.RmqHealthModule,
  ],
  providers: [Consumer],
})(Library);
class AppModule {}
Module({
  imports: [own.RmqKeepaliveModule.forRoot({ urls: url, startup: 'wait' }), own.RmqHealthModule, Library],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const consumer = app.get(Consumer);
facts.isOnePublisher = consumer.publisher === app.get(own.RmqPublisher);
facts.isOneConnection = consumer.connection === app.get(own.RmqConnection);
facts.consumers = app.get(own.RmqConnection).status().consumers.wanted;
facts.health = Object.keys(app.get(other.RmqHealthIndicator).check()).join();
facts.isUp = app.get(other.RmqHealthIndicator).check().rabbitmq.status;
facts.audit = await consumer.publisher.publish('audit', '', {}, { mandatory: false }).then(
  () => 'declared',
  (error) => error.message,
);

const { Settlement } = own;
facts.settlement = other.Settlement.ack() instanceof Settlement;
await consumer.publisher.publish(created, { id: 'bad' });
await consumer.publisher.publish(created, { id: 'good' }, { headers: { 'x-tenant': 'a' } });
facts.handled = await handled;
let letters = [];
while (letters.length === 0) letters = await consumer.deadLetters.list('orders.dead');
facts.deadLetters = letters.map(({ reason }) => reason);
facts.attempts = attempts;

const rpc = app.get(own.RmqRpcClient);
facts.answer = await rpc.request(quote, { item: 'milk' });
const refused = await rpc.request(quote, { item: 'tea' }).catch((error) => error);
facts.refused = {
  isRemote: refused instanceof other.RpcRemoteError && refused instanceof other.RmqError,
  isTimeout: refused instanceof other.errors.RpcTimeoutError,
  code: refused.remoteCode,
  data: refused.data,
};
class PublishError extends other.RmqError {}
facts.namesakeOfAUser =
  new other.PublishReturnedError({ exchange: '', routingKey: 'x', messageId: 'm' }, 312, 'NO_ROUTE') instanceof
  PublishError;
const unroutable = await consumer.publisher.sendToQueue('nowhere', {}).catch((error) => error);
facts.unroutable = unroutable instanceof other.PublishReturnedError && !(unroutable instanceof other.OptionsError);
console.log(JSON.stringify(facts));
await app.close();
