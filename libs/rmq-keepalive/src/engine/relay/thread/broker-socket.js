/**
 * Runs in the worker thread.
 *
 * The socket between the worker and the broker: TCP, or TLS on it.
 */
import { connect, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { lookupOf } from '../shared/given-addresses.js';
import { adoptDefaults } from '../shared/network-defaults.js';

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('../shared/relay-messages.js').RelayDial} RelayDial */
/** @typedef {import('../shared/relay-messages.js').PlainError} PlainError */

/** As amqplib does for a direct link. */
const KEEP_ALIVE_AFTER_MS = 30_000;

/**
 * Dials. `onread` gets what the broker sends.
 * @param {RelayDial} dial
 * @param {import('node:net').OnReadOpts} onread
 * @param {() => void} connected TCP, and TLS where asked for
 * @returns {Socket}
 */
export function dialBroker({ host, addresses, port, tls, defaults }, onread, connected) {
  adoptDefaults(defaults);
  const lookup = addresses === undefined ? undefined : lookupOf(addresses);
  const options = { host, port, lookup, onread, allowHalfOpen: true };
  const socket = tls === null ? connect(options, connected) : dialWithTls({ ...tls, ...options }, connected);
  socket.once('connect', () => {
    // By call: node:tls of Node 20 and 22 ignores the options. Without the first, Nagle and delayed acks cost some 40 ms for
    // every small request.
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_AFTER_MS);
  });
  return socket;
}

/**
 * Of the caller's options those of TLS count; where to dial, and how to read, is ours to say.
 * @param {object & { host: string }} options
 * @param {() => void} connected
 */
function dialWithTls(options, connected) {
  const servername = isIP(options.host) === 0 ? options.host : undefined;
  return connectTls(/** @type {import('node:tls').ConnectionOptions} */ ({ servername, ...options }), connected);
}

/**
 * What can be said of an error in a message to another thread.
 * @param {unknown} thrown
 * @returns {PlainError}
 */
export function plainError(thrown) {
  const error = /** @type {Error & Record<string, unknown>} */ (thrown);
  // Several addresses were tried: the first failure stands for all.
  const [first] = /** @type {Error[]} */ (error['errors'] ?? []);
  /** @type {Record<string, string | number>} */
  const fields = {};
  for (const field of ['code', 'syscall', 'address', 'port', 'reason']) {
    const value = error[field];
    if (typeof value === 'string' || typeof value === 'number') fields[field] = value;
  }
  return { ...fields, message: error.message || first?.message || `${fields['code'] ?? error.name}` };
}
