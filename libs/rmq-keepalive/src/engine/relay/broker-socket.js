/** The socket between the worker and the broker: TCP, or TLS on it. */
import { connect, isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** @typedef {import('node:net').Socket} Socket */
/** @typedef {import('./relay-messages.js').RelayDial} RelayDial */
/** @typedef {import('./relay-messages.js').PlainError} PlainError */

/** As for a direct link: without noDelay, Nagle and delayed acks cost 20 to 45 ms for every small request. */
const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, allowHalfOpen: true };

/**
 * Dials. `onread` gets what the broker sends.
 * @param {RelayDial} dial
 * @param {import('node:net').OnReadOpts} onread
 * @param {() => void} connected TCP, and TLS where asked for
 * @returns {Socket}
 */
export function dialBroker({ host, port, tls }, onread, connected) {
  const options = { ...SOCKET_OPTIONS, host, port, onread };
  if (tls === null) return connect(options, connected);
  const servername = isIP(host) === 0 ? host : undefined;
  // Of the caller's options those of TLS count; where to dial, and how to read, is ours to say.
  return connectTls(
    /** @type {import('node:tls').ConnectionOptions} */ ({ servername, ...tls, ...options }),
    connected,
  );
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
