/**
 * Publishes while the broker is down, and keeps book: how much memory that took, who was told what, and what became of the
 * rest when the broker was back.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { payloadOf } from '../protocol.mjs';

/** A library may take a moment to notice. */
const NOTICE_MS = 500;
/** Published in one turn of the event loop; then others get theirs. */
const SLICE = 200;
/** For what a library tells a little later. */
const TELL_MS = 3_000;
const AFTERMATH_MS = 40_000;
const REASON_LENGTH = 60;

export async function publishIntoAnOutage({ openPublisher }, { url, queue, workload, messages, ready, restarted }) {
  const publish = await openPublisher({ url, queue, persistent: workload.persistent });
  const payload = payloadOf(workload.bytes);
  await new Promise((resolve, reject) => publish(payload, (error) => (error ? reject(error) : resolve())));
  await ready();
  await sleep(NOTICE_MS);

  const told = {};
  let confirmed = 0;
  let rejected = 0;
  const settle = (error) => {
    if (!error) return (confirmed += 1);
    rejected += 1;
    const reason = reasonOf(error);
    told[reason] = (told[reason] ?? 0) + 1;
  };
  const heldBefore = bytesHeld();
  const before = process.memoryUsage().rss;
  let highest = before;
  for (let sent = 0; sent < messages; sent++) {
    try {
      publish(payload, settle);
    } catch (error) {
      settle(error);
    }
    if (sent % SLICE !== 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    highest = Math.max(highest, process.memoryUsage().rss);
  }
  await sleep(TELL_MS);
  highest = Math.max(highest, process.memoryUsage().rss);
  const heldBytes = bytesHeld() - heldBefore;
  const meanwhile = { rejected, confirmed, pending: messages - rejected - confirmed, told: { ...told } };

  process.send?.({ type: 'published' });
  await restarted;
  const deadline = performance.now() + AFTERMATH_MS;
  const isAnyPending = () => confirmed + rejected < messages;
  while (isAnyPending() && performance.now() < deadline) await sleep(50);
  const inTheEnd = { rejected, confirmed, pending: messages - rejected - confirmed };
  return { rssGrowthBytes: highest - before, heldBytes, meanwhile, inTheEnd };
}

/** What is left when all garbage is gone. */
function bytesHeld() {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  // What buffers point at goes in the second turn.
  for (let turn = 0; turn < 2; turn++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function reasonOf(error) {
  const text = error?.code ?? error?.message ?? String(error);
  return String(text).slice(0, REASON_LENGTH);
}
