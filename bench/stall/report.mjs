/** The table for people. */
import { aligned, median, thousands } from '../shared/table.mjs';

const NOT_BACK = 'not back within 60 s';

export function describeSample({ round, contender, blockS, failure, timeoutSeconds, isKept, deliveries, ms }) {
  const what = `round ${round}, ${blockS} s, ${contender}`;
  if (failure !== undefined) return `${what}: ${failure}`;
  const back = ms === null ? NOT_BACK : `fresh message after ${thousands(ms)} ms`;
  return `${what}: heartbeat ${timeoutSeconds} s, ${isKept ? 'kept' : 'lost'}, delivered ${deliveries} times, ${back}`;
}

/** One row a contender, one column for each length: kept in so many runs, deliveries, time to a fresh message. */
export function table(samples, { seconds, heartbeatSeconds, contenders }) {
  const header = ['contender', ...seconds.map((blockS) => `${blockS} s`)];
  const rows = contenders.map(({ name, title }) => [
    title,
    ...seconds.map((blockS) => cell(samples.filter((one) => one.contender === name && one.blockS === blockS))),
  ]);
  const title = `Event loop blocked in a handler, heartbeat timeout ${heartbeatSeconds} s: connection kept, deliveries of the message, ms from the wake-up to a fresh message (medians)`;
  const others = contenders.flatMap(({ name, title: who }) => {
    const other = samples.find((one) => one.contender === name && (one.timeoutSeconds ?? 0) !== heartbeatSeconds);
    return other === undefined || other.failure !== undefined
      ? []
      : [`${who} agreed on a timeout of ${other.timeoutSeconds} s.`];
  });
  return [title, '', ...aligned([header, ...rows]), '', ...others].join('\n');
}

function cell(samples) {
  const whole = samples.filter(({ failure }) => failure === undefined);
  if (whole.length === 0) return samples.length === 0 ? '-' : 'failed';
  const kept = whole.filter(({ isKept }) => isKept).length;
  const isKept = kept === whole.length ? 'kept' : kept === 0 ? 'lost' : `kept ${kept} of ${whole.length}`;
  const ms = median(whole.map((one) => one.ms ?? Infinity));
  const back = ms === Infinity ? NOT_BACK : `${thousands(ms)} ms`;
  const failed = whole.length === samples.length ? '' : `, failed ${samples.length - whole.length}`;
  return `${isKept}, ${median(whole.map(({ deliveries }) => deliveries))}x, ${back}${failed}`;
}
