/** For tests of a service: `nestjs-rmq-keepalive/testing`. Nothing of it is loaded by the library itself. */
export { BrokerUnavailableError } from './base/broker-unavailable-error.js';
export type { RunningBrokerAddress } from './real/borrowed-broker.js';
export { PrivateBroker } from './real/private-broker.js';
export type { PrivateBrokerOptions } from './real/private-broker.js';
