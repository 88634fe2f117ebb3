/** Asks as fast as the answers come, with `window` requests outstanding: first to warm up, then for the record. */
import { payloadOf } from '../protocol.mjs';

/** The other process: answers until it is ended. */
export async function answerRequests({ openResponder }, { url, queue, prefetch, ready }) {
  await openResponder({ url, queue, prefetch, answer: (payload) => payload });
  await ready();
  return new Promise(() => undefined);
}

export async function callAtFullSpeed({ openCaller }, { url, queue, workload, window, warmUp, messages, ready }) {
  const call = await openCaller({ url, queue });
  const payload = payloadOf(workload.bytes);
  await ready();
  await callAll(call, payload, { count: warmUp, window });
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const tookMs = await callAll(call, payload, { count: messages, window });
  const ms = performance.now() - startedAt;
  const { user, system } = process.cpuUsage(cpuBefore);
  tookMs.sort();
  const percentile = (share) => tookMs[Math.min(messages - 1, Math.floor(messages * share))];
  return { messages, ms, cpuUs: user + system, p50Ms: percentile(0.5), p99Ms: percentile(0.99) };
}

/** @returns how long each took; @throws the first error, or that an answer is another one than was asked for */
function callAll(call, payload, { count, window }) {
  return new Promise((resolve, reject) => {
    const tookMs = new Float64Array(count);
    let asked = 0;
    let answered = 0;
    const callNext = () => {
      const id = asked++;
      const request = { ...payload, data: { ...payload.data, id } };
      const askedAt = performance.now();
      call(request, (error, answer) => {
        if (error) return reject(error);
        if ((answer.data ?? answer).id !== id) return reject(new Error('an answer to another request'));
        tookMs[answered++] = performance.now() - askedAt;
        if (answered === count) resolve(tookMs);
        else if (asked < count) callNext();
      });
    };
    for (let outstanding = 0; outstanding < Math.min(window, count); outstanding++) callNext();
  });
}
