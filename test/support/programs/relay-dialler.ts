/** Dials a TLS server through the heartbeat thread, with the defaults of its process, and tells how it went. */
import { Relay } from '#engine/relay/relay.js';
import { relayRequest } from './relay-request.js';

export interface Dialled {
  /** The error's code, or `connected`. */
  readonly outcome: string;
}

// The thread alone does not keep a process alive.
const alive = setInterval(() => undefined, 1_000);
const [port] = process.argv.slice(2);
const share = new Relay().share();
const outcome = await share.dial(relayRequest(Number(port), {}), new AbortController().signal).then(
  () => 'connected',
  (error: { code?: string }) => error.code ?? 'without a code',
);
console.log(JSON.stringify({ outcome } satisfies Dialled));
await share.release();
clearInterval(alive);
