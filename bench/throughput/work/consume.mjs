/** Handles and acks what is in the queue, which never runs empty meanwhile: first to warm up, then for the record. */

export async function consumeTheQueue({ openConsumer }, { url, queue, prefetch, warmUp, messages, ready }) {
  await ready();
  let handled = 0;
  let startedAt;
  let cpuBefore;
  let finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const handle = () => {
    handled += 1;
    if (handled === warmUp) {
      startedAt = performance.now();
      cpuBefore = process.cpuUsage();
    } else if (handled === warmUp + messages) {
      const { user, system } = process.cpuUsage(cpuBefore);
      finish({ messages, ms: performance.now() - startedAt, cpuUs: user + system });
    }
  };
  await openConsumer({ url, queue, prefetch, handle });
  return finished;
}
