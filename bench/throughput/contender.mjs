/**
 * The contender's process: connects as it is told, then does the work and reports what it took.
 *
 *   argument: { contender, kind: 'publish' | 'consume' | 'confirm' | 'outage' | 'rpc', role?: 'answer', ... }
 *   to us:    { go: true }, { restarted: true }
 *   from us:  { type: 'ready' }, { type: 'result', ... }, { type: 'crashed', reason }
 *
 * A contender is a module with `openPublisher` (to a function `publish(payload, settle)`, `settle` being called on the confirm
 * or with an error), `openConsumer` (that calls `handle(payload)` for each message and acks it), and, if it has RPC, `openCaller`
 * (to a function `call(payload, settle)`, `settle` being called with an error or an answer) and `openResponder` (that replies with
 * what `answer(payload)` returns).
 */
import { confirmOneByOne } from './work/confirm.mjs';
import { consumeTheQueue } from './work/consume.mjs';
import { publishIntoAnOutage } from './work/outage.mjs';
import { publishAtFullSpeed } from './work/publish.mjs';
import { answerRequests, callAtFullSpeed } from './work/rpc.mjs';

const task = JSON.parse(process.argv[2]);
const work = {
  publish: publishAtFullSpeed,
  consume: consumeTheQueue,
  confirm: confirmOneByOne,
  outage: publishIntoAnOutage,
  rpc: task.role === 'answer' ? answerRequests : callAtFullSpeed,
};

function report(message) {
  if (process.connected) process.send?.(message);
}

/** Resolves when the bench says so. */
function told(what) {
  return new Promise((resolve) => {
    process.on('message', (message) => {
      if (message[what] === true) resolve();
    });
  });
}

process.on('disconnect', () => process.exit());
process.on('uncaughtException', (error) => {
  report({ type: 'crashed', reason: error instanceof Error ? error.message : String(error) });
  process.disconnect?.();
});

const orders = { go: told('go'), restarted: told('restarted') };
const contender = await import(`./contenders/${task.contender}.mjs`);
const ready = () => (report({ type: 'ready' }), orders.go);
report({ type: 'result', ...(await work[task.kind](contender, { ...task, ready, restarted: orders.restarted })) });
