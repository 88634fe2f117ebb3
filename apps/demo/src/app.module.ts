import { Module, type DynamicModule } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { RmqHealthModule } from 'nestjs-rmq-keepalive/terminus';
import type { DemoSettings } from './demo-settings.js';
import { FaultsController } from './faults/faults.controller.js';
import { OutgoingSockets } from './faults/outgoing-sockets.js';
import { OrdersConsumer } from './orders/orders.consumer.js';
import { OrdersController } from './orders/orders.controller.js';
import { OrdersStore } from './orders/orders.store.js';
import { BROKER_SENTENCE, WelcomeController } from './welcome.controller.js';

export interface BrokerInUse {
  readonly urls: readonly string[];
  readonly sentence: string;
}

@Module({})
export class AppModule {
  static of(settings: DemoSettings, broker: BrokerInUse, sockets: OutgoingSockets): DynamicModule {
    return {
      module: AppModule,
      imports: [
        RmqKeepaliveModule.forRoot({
          urls: broker.urls,
          connectionName: 'demo shop',
          heartbeat: { timeoutSeconds: settings.heartbeatSeconds, thread: settings.heartbeatThread },
        }),
        RmqHealthModule.forRoot({ details: true }),
      ],
      controllers: [WelcomeController, OrdersController, ...(settings.hasFaults ? [FaultsController] : [])],
      providers: [
        OrdersStore,
        OrdersConsumer,
        { provide: OutgoingSockets, useValue: sockets },
        { provide: BROKER_SENTENCE, useValue: broker.sentence },
      ],
    };
  }
}
