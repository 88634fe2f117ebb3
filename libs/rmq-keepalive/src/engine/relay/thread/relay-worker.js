/**
 * Runs in the worker thread, and is its first file.
 *
 * The thread owns the sockets to the brokers, so that heartbeats go out while the main loop is blocked, and gives the work
 * back when the loop is blocked for too long.
 *
 * JavaScript, type-checked: the library carries these files as one string (thread-source.ts), so that the thread starts
 * where no file can be found. After a change of them: `npm run build:thread`.
 */
import { writeSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { plainError } from './broker-socket.js';
import { removeStaleDoorFolders } from '../shared/door-folders.js';
import { ObservedStall } from '../shared/observed-stall.js';
import { PULSE, TICK_MS } from '../shared/relay-memory.js';
import { RelayedLink } from './relayed-link.js';

/** @typedef {import('../shared/relay-messages.js').ToWorker} ToWorker */
/** @typedef {import('../shared/relay-messages.js').FromWorker} FromWorker */

const { pulse, port, doors } = /** @type {import('../shared/relay-messages.js').RelayWorkerData} */ (workerData);
/** @type {Map<number, RelayedLink>} */
const links = new Map();
const mainLoop = new ObservedStall(TICK_MS, performance.now(), Atomics.load(pulse, PULSE.mainTicks));
const ticking = setInterval(tick, TICK_MS);
let isEnding = false;
void removeStaleDoorFolders(doors);
tell({ type: 'loaded' });

port.on('message', (/** @type {ToWorker} */ message) => {
  if (message.type === 'dial') dial(message);
  else if (message.type === 'abandon') links.get(message.id)?.end();
  else end();
});

/** @param {Extract<ToWorker, { type: 'dial' }>} message */
function dial({ id, dial, memory }) {
  try {
    links.set(
      id,
      new RelayedLink(
        dial,
        { memory, doors },
        {
          ready: (path) => tell({ type: 'ready', id, path }),
          failed: (error) => tell({ type: 'dial-failed', id, error }),
          lost: (reason) => tell({ type: 'lost', id, reason }),
          over: () => over(id),
        },
      ),
    );
  } catch (thrown) {
    // Options that node:net or node:tls refuse at once.
    tell({ type: 'dial-failed', id, error: plainError(thrown) });
  }
}

function tick() {
  Atomics.add(pulse, PULSE.workerTicks, 1);
  const stalledForMs = mainLoop.look(performance.now(), Atomics.load(pulse, PULSE.mainTicks));
  const overLimit = [...links.values()].filter((link) => link.stalled(stalledForMs));
  if (overLimit.length > 0) report(stalledForMs, overLimit);
}

/**
 * The main thread cannot say it, and a worker's console goes through the main thread.
 * @param {number} stalledForMs
 * @param {RelayedLink[]} overLimit
 */
function report(stalledForMs, overLimit) {
  const closed = overLimit.filter((link) => link.closesAtLimit).length;
  const done = closed > 0 ? `closed ${closed} of its links` : 'stopped sending its heartbeats';
  const text =
    `nestjs-rmq-keepalive: the event loop of process ${process.pid} has been blocked for ${(stalledForMs / 1000).toFixed(1)} s, ` +
    `the limit (heartbeat.maxStallMs): ${done}, so that RabbitMQ gives its unacked messages to other consumers\n`;
  try {
    writeSync(2, text);
  } catch {
    // Nothing reads stderr. State and health will say what we did, when the loop wakes.
  }
}

/** @param {number} id */
function over(id) {
  links.delete(id);
  tell({ type: 'over', id });
  if (isEnding) endWhenIdle();
}

function end() {
  isEnding = true;
  for (const link of links.values()) link.end();
  endWhenIdle();
}

/** Nothing is left that would keep the thread alive. */
function endWhenIdle() {
  if (links.size > 0) return;
  clearInterval(ticking);
  port.close();
}

/** @param {FromWorker} message */
function tell(message) {
  port.postMessage(message);
}
