/**
 * The contender's side of the protocol. A contender is a module whose default export connects `queues.length` consumers
 * and calls `got(message)` for every message; it resolves when its library says that all of them consume.
 *
 *   to us:   { expect: mark }
 *   from us: { type: 'ready' }, { type: 'expecting', mark }, { type: 'all', mark, at }, { type: 'crashed', reason }
 *
 * Messages are counted here and not at the parent, so that a thousand reports do not weigh on what is measured.
 */
import { queueNames } from './protocol.mjs';

const [, , contender, url, count] = process.argv;
const queues = queueNames(Number(count));

let expected = '';
const received = new Set();

/** @param {{ mark: string, queueIndex: number }} message */
function got({ mark, queueIndex }) {
  if (mark !== expected) return;
  received.add(queueIndex);
  if (received.size === queues.length) report({ type: 'all', mark, at: Date.now() });
}

function report(message) {
  if (process.connected) process.send?.(message);
}

process.on('message', ({ expect }) => {
  expected = expect;
  received.clear();
  report({ type: 'expecting', mark: expect });
});
process.on('disconnect', () => process.exit());
process.on('uncaughtException', (error) => {
  report({ type: 'crashed', reason: error instanceof Error ? error.message : String(error) });
  process.disconnect?.();
});

const { default: start } = await import(`./contenders/${contender}.mjs`);
await start({ url, queues, got });
report({ type: 'ready' });
