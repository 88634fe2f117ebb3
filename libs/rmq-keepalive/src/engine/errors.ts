/**
 * Every error this library makes, ordered by blast radius: one message, one channel, the connection, the boot.
 * `code` is stable and meant for programs; the message says what failed, with which values, and the way out.
 * No message carries a payload, a password or an unredacted URL.
 */
export * from './errors/rmq-error.js';
export * from './errors/delivery-errors.js';
export * from './errors/publish-errors.js';
export * from './errors/rpc-errors.js';
export * from './errors/channel-errors.js';
export * from './errors/connection-errors.js';
export * from './errors/options-error.js';
export * from './errors/reasons.js';
