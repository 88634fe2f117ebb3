/** Tables for people. Ratios are taken within a round, against bare amqplib, and their median is what is shown. */
import { aligned, median, thousands } from '../shared/table.mjs';
import { WORKLOADS } from './protocol.mjs';

const MEASURE = 'amqplib';
const MEGABYTE = 1_048_576;

export function describeSample({ round, workload, contender, failure, ...result }) {
  const what = `round ${round}, ${WORKLOADS[workload].title}, ${contender}`;
  if (failure !== undefined) return `${what}: ${failure}`;
  if (result.p99Ms !== undefined)
    return `${what}: ${thousands(perSecond(result))} calls/s, p50 ${result.p50Ms.toFixed(2)} ms, p99 ${result.p99Ms.toFixed(2)} ms`;
  if (result.ms !== undefined)
    return `${what}: ${thousands(perSecond(result))} msg/s, ${cpuPerMessage(result).toFixed(1)} us CPU a message`;
  const { rssGrowthBytes, heldBytes, meanwhile, inTheEnd } = result;
  return `${what}: RSS +${megabytes(rssGrowthBytes)}, held ${megabytes(heldBytes)}, ${counts(meanwhile)}; in the end ${counts(inTheEnd)}`;
}

/** One row a contender; msg/s and CPU for each workload, each with its ratio to bare amqplib. */
export function speedTable(samples, { workloads, contenders, rounds, window, prefetch }, kind) {
  const header = [
    'contender',
    ...workloads.flatMap((name) => [`${WORKLOADS[name].title}, msg/s`, 'CPU us per message']),
  ];
  const rows = contenders.map(({ name, title }) => [
    title,
    ...workloads.flatMap((workload) => {
      const of = (who) => samples.filter((one) => one.workload === workload && one.contender === who && one.ms);
      return [
        cell(of(name), of(MEASURE), perSecond, (value) => thousands(value)),
        cell(of(name), of(MEASURE), cpuPerMessage, (value) => value.toFixed(1)),
      ];
    }),
  ]);
  const how = kind === 'publish' ? `${thousands(window)} outstanding, confirmed` : `prefetch ${prefetch}, each acked`;
  const title = `${kind}: ${how}; medians of ${rounds}, and how many times bare amqplib in the same round`;
  return [title, '', ...aligned([header, ...rows]), ''].join('\n');
}

/** One row a contender: calls/s, and how long one takes, each with its ratio to bare amqplib. */
export function rpcTable(samples, { workloads, contenders, rounds, window }) {
  const header = ['contender', 'calls/s', 'p50, ms', 'p99, ms', 'CPU us per call, asking'];
  const tables = workloads.map((workload) => {
    const rows = contenders.map(({ name, title }) => {
      const of = (who) => samples.filter((one) => one.workload === workload && one.contender === who && one.ms);
      return [
        title,
        cell(of(name), of(MEASURE), perSecond, (value) => thousands(value)),
        cell(
          of(name),
          of(MEASURE),
          ({ p50Ms }) => p50Ms,
          (value) => value.toFixed(2),
        ),
        cell(
          of(name),
          of(MEASURE),
          ({ p99Ms }) => p99Ms,
          (value) => value.toFixed(2),
        ),
        cell(of(name), of(MEASURE), cpuPerMessage, (value) => value.toFixed(1)),
      ];
    });
    const how = `${WORKLOADS[workload].title.split(' ').slice(0, 2).join(' ')} each way, ${window} outstanding`;
    const title = `rpc: ${how}; medians of ${rounds}, and how many times bare amqplib in the same round`;
    return [title, '', ...aligned([header, ...rows]), ''].join('\n');
  });
  return tables.join('\n');
}

/** One row a contender: memory, what callers were told while the broker was down, and what became of the rest. */
export function outageTable(samples, { contenders, messages }) {
  const header = [
    'contender',
    'RSS growth',
    'held',
    'told meanwhile',
    'how',
    'confirmed in the end',
    'rejected',
    'open after 40 s',
  ];
  const rows = contenders.map(({ name, title }) => {
    const own = samples.filter((one) => one.contender === name && one.meanwhile !== undefined);
    const [first] = own;
    if (first === undefined) return [title, 'failed', ...header.slice(2).map(() => '-')];
    const { meanwhile, inTheEnd } = first;
    const how = Object.entries(meanwhile.told).map(([reason, count]) => `${thousands(count)} x ${reason}`);
    return [
      title,
      megabytes(median(own.map(({ rssGrowthBytes }) => rssGrowthBytes))),
      megabytes(median(own.map(({ heldBytes }) => heldBytes))),
      thousands(meanwhile.rejected),
      how.join('; ') || 'nobody was told',
      thousands(inTheEnd.confirmed),
      thousands(inTheEnd.rejected),
      thousands(inTheEnd.pending),
    ];
  });
  const title = `outage: ${thousands(messages)} messages published while the broker was down`;
  return [title, '', ...aligned([header, ...rows]), ''].join('\n');
}

function megabytes(bytes) {
  return `${Math.round(bytes / MEGABYTE)} MB`;
}

function perSecond({ messages, ms }) {
  return (messages / ms) * 1_000;
}

function cpuPerMessage({ messages, cpuUs }) {
  return cpuUs / messages;
}

function cell(samples, measures, figure, print) {
  if (samples.length === 0) return '-';
  const value = print(median(samples.map(figure)));
  const ratios = samples.flatMap((sample) => {
    const measure = measures.find(({ round }) => round === sample.round);
    return measure === undefined ? [] : figure(sample) / figure(measure);
  });
  return ratios.length === 0 ? value : `${value} (${median(ratios).toFixed(2)}x)`;
}

function counts({ rejected, confirmed, pending }) {
  return `${thousands(rejected)} rejected, ${thousands(confirmed)} confirmed, ${thousands(pending)} pending`;
}
