/** The one line by which Nest's RabbitMQ transport and ours differ, on either side. */
import { type ClientProxy, ClientProxyFactory, type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { RmqClient, type RmqClientOptions, RmqServer, type RmqServerOptions } from 'nestjs-rmq-keepalive/microservices';

/** Whose transport: Nest's `Transport.RMQ`, or ours. */
export type Side = 'nest' | 'ours';

export function serving(side: Side, options: RmqServerOptions): MicroserviceOptions {
  return side === 'nest'
    ? { transport: Transport.RMQ, options: options as object }
    : { strategy: new RmqServer(options) };
}

export function clientOf(side: Side, options: RmqClientOptions): ClientProxy {
  return side === 'nest'
    ? ClientProxyFactory.create({ transport: Transport.RMQ, options: options as object })
    : ClientProxyFactory.create({ customClass: RmqClient, options });
}
