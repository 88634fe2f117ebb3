/**
 * A service whose handler blocks the event loop, in a process of its own, so that a spec can watch it meanwhile.
 * `blocking-service.ts <url> <heartbeat options as JSON> [files of authority, certificate and key]`. Consumes from `work`:
 * `{ id, blockMs?, blockUntil? }`: for a time, or until there is a file of that name. Prints one JSON fact a line; `at` is
 * wall-clock time.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describeEvent } from '#engine/reporting/event-sentences.js';
import { RmqConnection } from '#engine/connection/rmq-connection.js';
import type { HeartbeatOptions } from '#engine/heartbeat/heartbeat-policy.js';

const [url, heartbeat, ...tlsFiles] = process.argv.slice(2) as [string, string, ...string[]];
const [ca, cert, key] = tlsFiles.map((file) => readFileSync(file));
const tell = (fact: string, more: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ fact, at: Date.now(), ...more })}\n`);

const connection = new RmqConnection({
  urls: url,
  heartbeat: JSON.parse(heartbeat) as HeartbeatOptions,
  tls: { ca, cert, key },
});
connection.on('*', (event) => {
  if (event.type === 'link-lost')
    tell('lost', { code: (event.cause as { code?: string }).code, message: event.cause.message });
  if (event.type === 'event-loop-stalled')
    tell('stalled', { stalledForMs: event.stalledForMs, sentence: describeEvent(event)?.sentence });
  if (event.type === 'recovered') tell('ready');
});
connection.subscribe({ queue: 'work', prefetch: 500 }, async (payload, delivery) => {
  const { id, blockMs = 0, blockUntil } = payload as { id: string; blockMs?: number; blockUntil?: string };
  tell('started', { id, redelivered: delivery.redelivered });
  if (blockMs === 0 && blockUntil === undefined) return;
  if (blockMs > 0) blockFor(blockMs);
  const isHeld = (): boolean => blockUntil !== undefined && !existsSync(blockUntil);
  while (isHeld()) blockFor(10);
  tell('woke', { id, isLive: delivery.isLive });
  // The spec asks for the status once everything has come to rest.
  setTimeout(() => tell('status', { status: connection.status() }), 2_500);
});
/** Nothing of this thread runs meanwhile: no timer, no socket. It costs no processor time, unlike a busy loop. */
function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
await connection.start();
process.once('SIGTERM', () => void connection.close().then(() => tell('closed')));
