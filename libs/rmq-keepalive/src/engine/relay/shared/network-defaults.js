/**
 * Runs in both threads.
 *
 * How a thread dials where the options of the dial say nothing: the least TLS version, trusted certificates, the order of
 * addresses.
 *
 * Danger: Node keeps these for each thread, and another thread starts with its own. What a program sets by a call or an
 * assignment (`tls.DEFAULT_MIN_VERSION = 'TLSv1.3'`) would silently have no effect in the heartbeat thread.
 * Choice: the main thread's values of now go with every dial and become the thread's own. They stay defaults there, so what
 * the options of a dial say goes before them by the rules of Node, as it would without the thread.
 * Source: https://nodejs.org/api/tls.html, net.html and dns.html: the properties DEFAULT_ and the functions setDefault...
 */
import dns from 'node:dns';
import net from 'node:net';
import nodeTls from 'node:tls';

/** @typedef {import('./relay-messages.js').RelayDial} RelayDial */
/** @typedef {import('./relay-messages.js').RelayDefaults} RelayDefaults */
/**
 * Node's own, from 22.19 and 24.5 on.
 * @typedef {object} TrustStore
 * @property {(kind: 'default' | 'bundled' | 'extra') => readonly string[]} getCACertificates PEM; the same array until the set is another
 * @property {(certificates: readonly string[]) => void} setDefaultCACertificates
 */

const VERIFICATION = 'NODE_TLS_REJECT_UNAUTHORIZED';

/** In the main thread, one for each thread that dials for it. */
export class DefaultsForThread {
  /** @type {readonly string[] | undefined} what the thread trusts, as far as we know */
  #trusted;

  /**
   * @param {RelayDial['tls']} tls
   * @returns {RelayDefaults}
   */
  forDial(tls) {
    return {
      resultOrder: dns.getDefaultResultOrder(),
      autoSelectFamily: net.getDefaultAutoSelectFamily(),
      autoSelectFamilyAttemptTimeoutMs: net.getDefaultAutoSelectFamilyAttemptTimeout(),
      minVersion: nodeTls.DEFAULT_MIN_VERSION,
      maxVersion: nodeTls.DEFAULT_MAX_VERSION,
      ciphers: nodeTls.DEFAULT_CIPHERS,
      ecdhCurve: nodeTls.DEFAULT_ECDH_CURVE,
      rejectUnauthorized: process.env[VERIFICATION],
      // Listing them costs milliseconds the first time, and who names authorities of their own needs no others.
      newlyTrusted: tls === null || tls.ca ? null : this.#newlyTrusted(),
    };
  }

  /** Hundreds of certificates, so they go only when they are others than the thread has by itself or was told. */
  #newlyTrusted() {
    const store = trustStore();
    if (store === undefined) return null;
    const [before, now] = [this.#trusted, store.getCACertificates('default')];
    this.#trusted = now;
    if (now === before) return null;
    return before === undefined && areSame(now, trustedAtTheStart(store)) ? null : now;
  }
}

/**
 * In the thread that dials, before each dial.
 * @param {RelayDefaults} defaults
 */
export function adoptDefaults(defaults) {
  dns.setDefaultResultOrder(defaults.resultOrder);
  net.setDefaultAutoSelectFamily(defaults.autoSelectFamily);
  net.setDefaultAutoSelectFamilyAttemptTimeout(defaults.autoSelectFamilyAttemptTimeoutMs);
  nodeTls.DEFAULT_MIN_VERSION = defaults.minVersion;
  nodeTls.DEFAULT_MAX_VERSION = defaults.maxVersion;
  nodeTls.DEFAULT_CIPHERS = defaults.ciphers;
  nodeTls.DEFAULT_ECDH_CURVE = defaults.ecdhCurve;
  if (defaults.rejectUnauthorized === undefined) delete process.env[VERIFICATION];
  else process.env[VERIFICATION] = defaults.rejectUnauthorized;
  if (defaults.newlyTrusted !== null) trust(defaults.newlyTrusted);
}

/** @param {readonly string[]} certificates */
function trust(certificates) {
  const store = trustStore();
  // Not if it has them already: with --use-openssl-ca the list does not name all that is trusted, and must not replace it.
  if (store === undefined || areSame(certificates, store.getCACertificates('default'))) return;
  store.setDefaultCACertificates(certificates);
}

/**
 * The certificates that a thread trusts before any call. A call puts them into another order, so that its set differs from
 * this one even if it holds the same certificates.
 * @param {TrustStore} store
 */
function trustedAtTheStart(store) {
  return [...store.getCACertificates('bundled'), ...store.getCACertificates('extra')];
}

/** Undefined where the set cannot be changed by a call, and so is that of the process in every thread. */
function trustStore() {
  const store = /** @type {Partial<TrustStore>} */ (nodeTls);
  return store.setDefaultCACertificates === undefined ? undefined : /** @type {TrustStore} */ (store);
}

/**
 * @param {readonly string[]} some
 * @param {readonly string[]} others
 */
function areSame(some, others) {
  return some.length === others.length && some.every((one, index) => one === others[index]);
}
