/** Runs in both threads. */

/**
 * A `lookup` for node:net and node:tls that answers with addresses that were looked up before, so that the host of the options
 * stays the name: what TLS verifies.
 * @param {readonly import('node:dns').LookupAddress[]} addresses at least one
 * @returns {import('node:net').LookupFunction}
 */
export function lookupOf(addresses) {
  return (_hostname, options, callback) => {
    const [first] = addresses;
    process.nextTick(() => {
      if (options.all === true) callback(null, [...addresses]);
      else callback(null, first?.address ?? '', first?.family);
    });
  };
}
