// The public names of `nestjs-rmq-keepalive/microservices`.
export { RmqClient } from './client/rmq-client.js';
export { RmqServer } from './server/rmq-server.js';
export { RmqServerContext } from './server/rmq-server-context.js';
export type { TransportChannel } from './server/transport-channel.js';
export type { RmqTransportEvents, RmqTransportStatus } from './options/transport-events.js';
export type { RmqClientOptions, RmqServerOptions } from './options/transport-options.js';
