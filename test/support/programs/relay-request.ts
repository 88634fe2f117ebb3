import type { RelayRequest } from '#engine/relay/shared/relay-messages.js';

/** What a connection asks of the heartbeat thread. */
export function relayRequest(port: number, tls: RelayRequest['tls'], host = 'localhost'): RelayRequest {
  return {
    host,
    port,
    tls,
    timeoutMs: 5_000,
    pace: { sendAfterTimeouts: 0.5, sendWithinMs: null, deadAfterTimeouts: 1.5 },
    maxStallMs: 60_000,
    onStallLimit: 'close',
  };
}
