/** Handles and acks what is in the queue, which never runs empty meanwhile: first to warm up, then for the record. */
import { stopwatch } from './stopwatch.mjs';

export async function consumeTheQueue({ openConsumer }, task) {
  const { url, queue, prefetch, connection, warmUp, messages, ready } = task;
  await ready();
  let handled = 0;
  let took;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const handle = () => {
    handled += 1;
    if (handled === warmUp) {
      took = stopwatch();
    } else if (handled === warmUp + messages) {
      finish({ messages, ...took() });
    }
  };
  await openConsumer({ url, queue, prefetch, handle, connection });
  return finished;
}
