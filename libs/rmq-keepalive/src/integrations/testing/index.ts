/** For tests of a service: `nestjs-rmq-keepalive/testing`. Nothing of it is loaded by the library itself. */
export { BrokerUnavailableError } from './base/broker-unavailable-error.js';
export type { BrokerAddress as RunningBrokerAddress } from './real/borrowed-broker.js';
export { PrivateBroker, type PrivateBrokerOptions } from './real/private-broker.js';
