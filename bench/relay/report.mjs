/** The table for people: the figure without the thread and with it, and the ratio of the pairs. */
import { aligned, median, thousands } from '../shared/table.mjs';
import { WORKLOADS } from '../throughput/protocol.mjs';

const MEGABYTE = 1_048_576;

export function describeSample({ round, kind, transport, thread, failure, ...result }) {
  const what = `round ${round}, ${transport}, ${kind}, ${thread}`;
  if (failure !== undefined) return `${what}: ${failure}`;
  const { print, of } = FIGURES[kind][0];
  const cpu = `${cpuPerMessage(result).toFixed(1)} us CPU a message`;
  return `${what}: ${print(of(result))}, ${cpu}, loop ${percent(result.loop)}, RSS ${megabytes(result.rssBytes)}`;
}

const perSecond = ({ messages, ms }) => (messages / ms) * 1_000;
const cpuPerMessage = ({ messages, cpuUs }) => cpuUs / messages;
const percent = (part) => `${Math.round(part * 100)} %`;
const megabytes = (bytes) => `${Math.round(bytes / MEGABYTE)} MB`;
const milliseconds = (ms) => `${ms.toFixed(3)} ms`;

const RATE = { title: 'rate', of: perSecond, print: (value) => `${thousands(value)} msg/s` };
const CPU = { title: 'CPU a message', of: cpuPerMessage, print: (value) => `${value.toFixed(1)} us` };
const LOOP = { title: 'event loop busy', of: ({ loop }) => loop, print: percent };
const RSS = { title: 'RSS', of: ({ rssBytes }) => rssBytes, print: megabytes };
const FIGURES = {
  publish: [RATE, CPU, LOOP, RSS],
  consume: [RATE, CPU, LOOP, RSS],
  confirm: [
    { title: 'p50', of: ({ p50Ms }) => p50Ms, print: milliseconds },
    { title: 'p99', of: ({ p99Ms }) => p99Ms, print: milliseconds },
    CPU,
  ],
};

/** One row for each transport, work and figure. */
export function table(samples, { transports, works, rounds, workload, window, prefetch }) {
  const header = ['', 'figure', 'direct', 'heartbeat thread', 'ratio', 'lowest and highest ratio'];
  const rows = transports.flatMap((transport) =>
    works.flatMap(({ kind }) => {
      const pairs = pairsOf(samples.filter((one) => one.transport === transport && one.kind === kind));
      return FIGURES[kind].map((figure, index) => [
        index === 0 ? `${kind}, ${transport}` : '',
        ...cells(pairs, figure),
      ]);
    }),
  );
  const how = `${WORKLOADS[workload].title}; publish: ${thousands(window)} outstanding; consume: prefetch ${prefetch}, each acked; confirm: one at a time`;
  return [
    `The product without the heartbeat thread and with it; medians of ${rounds}, ratios within a pair`,
    how,
    '',
    ...aligned([header, ...rows]),
    '',
  ].join('\n');
}

function pairsOf(samples) {
  return samples.flatMap((direct) => {
    const relayed = samples.find(({ round, thread }) => round === direct.round && thread === 'worker');
    const isPair = direct.thread === 'main' && relayed !== undefined && !direct.failure && !relayed.failure;
    return isPair ? [{ direct, relayed }] : [];
  });
}

function cells(pairs, { title, of, print }) {
  if (pairs.length === 0) return [title, '-', '-', '-', '-'];
  const ratios = pairs.map(({ direct, relayed }) => of(relayed) / of(direct)).sort((one, other) => one - other);
  return [
    title,
    print(median(pairs.map(({ direct }) => of(direct)))),
    print(median(pairs.map(({ relayed }) => of(relayed)))),
    median(ratios).toFixed(2),
    `${ratios[0].toFixed(2)} to ${ratios.at(-1).toFixed(2)}`,
  ];
}
