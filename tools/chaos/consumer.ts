/** The consuming service: a Nest application that notes every message before it is acked. A child of the chaos run. */
import 'reflect-metadata';
import { type DynamicModule, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  type Delivery,
  getRmqConnectionToken,
  REPUBLISHED_HEADER,
  type RmqConnection,
  RmqKeepaliveModule,
  Subscribe,
} from 'nestjs-rmq-keepalive';
import { childProgram } from './child-program.js';
import type { Copy } from './ledger.js';
import { consumeLossily } from './lossy-consumer.js';
import { machineTimeMs } from './machine-clock.js';
import { DELETED_QUEUE, EXCHANGE, HEARTBEAT_TIMEOUT_SECONDS, QUEUE, type VillainAssignment } from './protocol.js';
import { credentialsOf, VillainsInside } from './villains-inside.js';
import { watchConnection } from './watch-connection.js';

const { assignment, ledger, report } = childProgram();
const { villains } = assignment;
const TOKENS = 'tokens';
const from = (queue: string) => ({ queue, exchange: EXCHANGE, exchangeType: 'fanout', prefetch: 50 });

@Injectable()
class OrdersConsumer {
  @Subscribe({ name: QUEUE, ...from(QUEUE) })
  @Subscribe({ name: DELETED_QUEUE, ...from(DELETED_QUEUE) })
  onOrder(@Payload() order: { id: number }, @Ctx() delivery: Delivery): void {
    ledger.note({
      what: 'handled',
      id: order.id,
      at: machineTimeMs(),
      queue: delivery.queue,
      copy: copyOf(delivery),
    });
  }
}

@Module({
  imports: [
    RmqKeepaliveModule.forRoot({
      urls: assignment.url,
      connectionName: 'chaos consumer',
      heartbeat: { timeoutSeconds: HEARTBEAT_TIMEOUT_SECONDS },
    }),
    ...(villains === undefined ? [] : [connectionWithTokens(villains)]),
  ],
  providers: [OrdersConsumer],
})
class ConsumerModule {}

function connectionWithTokens(assigned: VillainAssignment): DynamicModule {
  return RmqKeepaliveModule.forRoot({
    name: TOKENS,
    urls: assigned.tokenUrl,
    credentials: credentialsOf(assigned),
    connectionName: 'chaos tokens',
    heartbeat: { timeoutSeconds: HEARTBEAT_TIMEOUT_SECONDS },
  });
}

function copyOf(delivery: Delivery): Copy {
  if (delivery.redelivered) return 'redelivered';
  return delivery.headers[REPUBLISHED_HEADER] === undefined ? 'unannounced' : 'republished';
}

if (assignment.sabotage === 'lossy-consumer') {
  await consumeLossily(assignment, ledger);
  report({ report: 'ready' });
} else {
  const app = await NestFactory.createApplicationContext(ConsumerModule);
  app.enableShutdownHooks();
  const connection = app.get<RmqConnection>(getRmqConnectionToken());
  watchConnection(connection, ledger);
  if (villains !== undefined) {
    const tokens = app.get<RmqConnection>(getRmqConnectionToken(TOKENS));
    new VillainsInside(villains, connection, tokens, ledger).start();
  }
  // It may be started into the middle of an outage: that is for the run to wait for, or not.
  void connection.whenOpen().then(
    () => report({ report: 'ready' }),
    () => undefined,
  );
}
