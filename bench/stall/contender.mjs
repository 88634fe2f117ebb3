/**
 * The contender's process: consumes with a contender module of recovery/, and blocks its event loop in the first handler that
 * gets the blocking message.
 *
 *   argument: { contender, url, blockMs, options }
 *   to us:    { report: true }
 *   from us:  { type: 'ready' }, { type: 'blocking' }, { type: 'woke', at }, { type: 'fresh', at },
 *             { type: 'deliveries', count }, { type: 'crashed', reason }
 */
import { queueNames } from '../recovery/protocol.mjs';
import { BLOCKING, FRESH } from './marks.mjs';

const { contender, url, blockMs, options } = JSON.parse(process.argv[2]);
let deliveries = 0;

/** @param {{ mark: string }} message */
function got({ mark }) {
  if (mark === FRESH) report({ type: 'fresh', at: Date.now() });
  if (mark !== BLOCKING) return;
  deliveries += 1;
  if (deliveries > 1) return;
  report({ type: 'blocking' });
  // Nothing of this thread runs meanwhile: no timer, no socket. It costs no processor time, unlike a busy loop.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
  report({ type: 'woke', at: Date.now() });
}

function report(message) {
  if (process.connected) process.send?.(message);
}

process.on('message', () => report({ type: 'deliveries', count: deliveries }));
process.on('disconnect', () => process.exit());
process.on('uncaughtException', (error) => {
  report({ type: 'crashed', reason: error instanceof Error ? error.message : String(error) });
  process.disconnect?.();
});

const { default: start } = await import(`../recovery/contenders/${contender}.mjs`);
await start({ url, queues: queueNames(1), got, options });
report({ type: 'ready' });
