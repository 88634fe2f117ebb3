import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_12, place } from '../support/place.js';
import { noteRow } from '../support/rows.js';

/** The id of a request goes into a message by an around, and is there in the handler; a strict proxy provider stands beside. */
const PROGRAM = `import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClsModule, ClsService, InjectableProxy } from 'nestjs-cls';
import { RmqKeepaliveModule, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';

const decorate = (decorators, target, name) => {
  const descriptor = name && Object.getOwnPropertyDescriptor(target, name);
  for (const decorator of decorators) decorator(target, name, descriptor);
};

class CurrentUser {
  name = 'ada';
}
InjectableProxy({ strict: true })(CurrentUser);

const seen = [];
let ended;
const done = new Promise((resolve) => (ended = resolve));
/** A delivery may come before the confirm of its publish: all four are waited for. */
const note = (...words) => seen.push(words) === 4 && ended();

class RequestIds {
  constructor(cls) {
    this.cls = cls;
  }
  publish(message, send) {
    return send({ headers: { 'x-request-id': message.headers['x-request-id'] ?? this.cls.get('id') } });
  }
  deliver(delivery, handle) {
    return this.cls.runWith({}, async () => {
      this.cls.set('id', delivery.headers['x-request-id']);
      await this.cls.proxy.resolve();
      return handle();
    });
  }
}
Injectable()(RequestIds);
Inject(ClsService)(RequestIds, undefined, 0);

class Orders {
  constructor(cls, publisher, user) {
    Object.assign(this, { cls, publisher, user });
  }
  async onOrder(order) {
    note(order, this.cls.get('id'), this.user.name);
    await this.publisher.sendToQueue('done', order);
    note('after the publish', this.cls.get('id'), this.user.name);
  }
  onDone(order) {
    note('done', this.cls.get('id'), this.user.name);
  }
}
Injectable()(Orders);
Inject(ClsService)(Orders, undefined, 0);
Inject(RmqPublisher)(Orders, undefined, 1);
Inject(CurrentUser)(Orders, undefined, 2);
decorate([Subscribe({ queue: 'orders' })], Orders.prototype, 'onOrder');
decorate([Subscribe({ queue: 'done' })], Orders.prototype, 'onDone');

class AppModule {}
Module({
  imports: [
    ClsModule.forRoot({ global: true }),
    ClsModule.forFeature(CurrentUser),
    RmqKeepaliveModule.forRoot({ urls: process.env.RMQ_URL, startup: 'wait', around: RequestIds }),
  ],
  providers: [RequestIds, Orders],
})(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const cls = app.get(ClsService);
await cls.runWith({}, async () => {
  cls.set('id', 'request-1');
  const publisher = app.get(RmqPublisher);
  await publisher.sendToQueue('orders', 'an order', { headers: { 'x-request-id': cls.get('id') } });
  note('the publisher, after its publish', cls.get('id'));
});
await done;
console.log(JSON.stringify(seen));
await app.close();
`;

describe('a service with nestjs-cls', () => {
  const faults = useFaults();

  it('boots with a strict proxy provider, and keeps its context in handlers, also after a publish', async () => {
    const at = await place('nestjs-cls', {
      dependencies: { ...NEST_12, 'nestjs-cls': '6.3.1' },
      files: { 'main.mjs': PROGRAM },
    });
    const run = await at.run(['node', 'main.mjs'], { env: { RMQ_URL: faults.vhost.url } });
    expect(run.stderr).toBe('');
    const seen = JSON.parse(run.stdout) as unknown[];
    expect(seen).toEqual(
      expect.arrayContaining([
        ['the publisher, after its publish', 'request-1'],
        ['an order', 'request-1', 'ada'],
        ['after the publish', 'request-1', 'ada'],
        ['done', 'request-1', 'ada'],
      ]),
    );
    expect(seen).toHaveLength(4);
    const what = 'a strict proxy provider; its context in handlers and after a publish';
    await noteRow({ topic: 'Nest', what, at, packages: ['nestjs-cls'], run });
  });
});
