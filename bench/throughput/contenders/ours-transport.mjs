/** Ours in the place of Nest's transport: the same application, one line different on each side. */
import { createRequire } from 'node:module';
import { RmqClient, RmqServer } from 'nestjs-rmq-keepalive/microservices';
import { nestTransport } from '../nest-transport.mjs';

// The workspace's Nest, which the library itself loads too.
const require = createRequire(new URL('../../../package.json', import.meta.url));
const microservices = require('@nestjs/microservices');

export const { openPublisher, openConsumer, openCaller, openResponder } = nestTransport(
  { common: require('@nestjs/common'), core: require('@nestjs/core'), microservices },
  {
    clientOf: (options) => microservices.ClientProxyFactory.create({ customClass: RmqClient, options }),
    serving: (options) => ({ strategy: new RmqServer(options) }),
  },
);
