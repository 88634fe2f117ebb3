/** For tests of a service: `nestjs-rmq-keepalive/testing`. Nothing of it is loaded by the library itself. */
export type { Accident, AccidentOptions } from './accidents.js';
export { BrokerUnavailableError } from './base/broker-unavailable-error.js';
export { HarnessError } from './harness-error.js';
export type { HandledMessage, PublishedMessage } from './message-log.js';
export type { RunningBrokerAddress } from './real/borrowed-broker.js';
export { PrivateBroker } from './real/private-broker.js';
export type { PrivateBrokerOptions } from './real/private-broker.js';
export { RmqTestHarness } from './rmq-test-harness.js';
export type { HarnessOptions, SettledOptions } from './rmq-test-harness.js';
