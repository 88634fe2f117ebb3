/** Publishes as fast as the confirms come, with `window` messages outstanding: first to warm up, then for the record. */
import { payloadOf } from '../protocol.mjs';
import { stopwatch } from './stopwatch.mjs';

export async function publishAtFullSpeed({ openPublisher }, task) {
  const { url, queue, workload, window, connection, warmUp, messages, ready } = task;
  const publish = await openPublisher({ url, queue, persistent: workload.persistent, connection });
  const payload = payloadOf(workload.bytes);
  await ready();
  await publishAll(publish, payload, { count: warmUp, window });
  const took = stopwatch();
  await publishAll(publish, payload, { count: messages, window });
  return { messages, ...took() };
}

/** @throws the first error: at full speed nothing may go wrong */
function publishAll(publish, payload, { count, window }) {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let confirmed = 0;
    const publishNext = () => {
      sent += 1;
      publish(payload, settle);
    };
    const settle = (error) => {
      if (error) return reject(error);
      confirmed += 1;
      if (confirmed === count) resolve();
      else if (sent < count) publishNext();
    };
    for (let outstanding = 0; outstanding < Math.min(window, count); outstanding++) publishNext();
  });
}
