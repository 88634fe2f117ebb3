// The public names of `nestjs-rmq-keepalive/microservices`.
export { RmqClient } from './rmq-client.js';
export { RmqServer } from './rmq-server.js';
export { RmqServerContext } from './rmq-server-context.js';
export type { TransportChannel } from './transport-channel.js';
export type { RmqTransportEvents, RmqTransportStatus } from './transport-events.js';
export type {
  ConnectionChoice,
  NestTransportOptions,
  RmqClientOptions,
  RmqServerOptions,
  TransportQueueOptions,
  TransportSocketOptions,
  TransportUrl,
} from './transport-options.js';
