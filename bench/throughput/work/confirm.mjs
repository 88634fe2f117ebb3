/** Publishes one message at a time and waits for its confirm, as a handler or an HTTP request does: how long that takes. */
import { payloadOf } from '../protocol.mjs';
import { stopwatch } from './stopwatch.mjs';

export async function confirmOneByOne({ openPublisher }, task) {
  const { url, queue, workload, connection, warmUp, messages, ready } = task;
  const publish = await openPublisher({ url, queue, persistent: workload.persistent, connection });
  const payload = payloadOf(workload.bytes);
  await ready();
  await confirmedIn(publish, payload, warmUp);
  const took = stopwatch();
  const sorted = (await confirmedIn(publish, payload, messages)).sort((one, other) => one - other);
  const percentile = (part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  return { messages, ...took(), p50Ms: percentile(0.5), p99Ms: percentile(0.99) };
}

/** @returns the milliseconds of each; rejects with the first error */
async function confirmedIn(publish, payload, count) {
  const times = [];
  for (let sent = 0; sent < count; sent++) {
    const sentAt = performance.now();
    await new Promise((resolve, reject) => publish(payload, (error) => (error ? reject(error) : resolve())));
    times.push(performance.now() - sentAt);
  }
  return times;
}
