/** The table for people. */
import { aligned, median, thousands } from '../shared/table.mjs';

const NOT_BACK = '> 60 s';

export function describeSample({ consumers, round, contender, fault, ms, failure }) {
  const result = failure ?? (ms === null ? NOT_BACK : `${thousands(ms)} ms`);
  return `${consumers} consumers, round ${round}, ${contender}, ${fault}: ${result}`;
}

/**
 * One row a contender, one column for each number of consumers and each fault: the median, and how many times ours.
 * @param {{ contender: string, consumers: number, fault: string, ms: number | null }[]} samples
 */
export function table(samples, { consumers, faults, contenders, rounds }) {
  const columns = consumers.flatMap((count) => faults.map((fault) => ({ count, fault })));
  const medianAt = (name, { count, fault }) =>
    medianOf(samples.filter((one) => one.contender === name && one.consumers === count && one.fault === fault));
  const header = ['contender', ...columns.map(({ count, fault }) => `${count} ${fault}`)];
  const rows = contenders.map(({ name, title, maxConsumers = Infinity }) => [
    title,
    ...columns.map((column) =>
      column.count > maxConsumers ? 'skipped' : cell(medianAt(name, column), medianAt('ours', column), name),
    ),
  ]);
  const notes = contenders
    .filter(({ maxConsumers }) => consumers.some((count) => count > (maxConsumers ?? Infinity)))
    .map(({ title, maxConsumers, because }) => `${title} is skipped above ${maxConsumers} consumers: ${because}.`);
  const outage = median(samples.flatMap(({ outageMs }) => outageMs ?? []));
  if (outage !== undefined)
    notes.push(`kill: the median outage was ${thousands(outage)} ms; time counts from its end.`);
  const title = `Milliseconds until every consumer had a fresh message; medians of ${rounds}, and how many times ours`;
  return [title, '', ...aligned([header, ...rows]), '', ...notes].join('\n');
}

/** "Not back" sorts behind every number. */
function medianOf(samples) {
  return median(samples.map(({ ms }) => ms ?? Infinity));
}

function cell(ms, ours, name) {
  if (ms === undefined) return '-';
  if (ms === Infinity) return NOT_BACK;
  if (name === 'ours' || ours === undefined || ours === Infinity) return thousands(ms);
  return `${thousands(ms)} (${(ms / ours).toFixed(1)}x)`;
}
