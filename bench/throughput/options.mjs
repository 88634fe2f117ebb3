import { parseArgs } from 'node:util';
import { CONTENDERS } from '../shared/contenders.mjs';
import { oneOrMoreOf, SERIES, wholeNumber } from '../shared/options.mjs';
import { WORKLOADS } from './protocol.mjs';

/** Ours once more, by the API of Nest's own. */
const OUR_TRANSPORT = { name: 'ours-transport', title: 'ours, as Nest transport', package: 'nestjs-rmq-keepalive' };
/** Beside the ESM one: `--only ours,ours-commonjs`. */
const OUR_COMMONJS = {
  name: 'ours-commonjs',
  title: 'ours, CommonJS build',
  package: 'nestjs-rmq-keepalive',
  isAskedFor: true,
};
/** Beside an OpenTelemetry SDK: `--only ours-with-sdk,ours-sampled-out,ours-recorded`. */
const OURS_TRACED = [
  ['ours-with-sdk', 'ours, an SDK beside it'],
  ['ours-sampled-out', 'ours, openTelemetry(), sampled out'],
  ['ours-recorded', 'ours, openTelemetry(), recorded'],
].map(([name, title]) => ({ name, title, package: 'nestjs-rmq-keepalive', isAskedFor: true }));
const BESIDE = { ours: [OUR_COMMONJS, ...OURS_TRACED], nest: [OUR_TRANSPORT] };
const ALL = CONTENDERS.flatMap((contender) => [contender, ...(BESIDE[contender.name] ?? [])]);
const namesFor = (kind) => contendersFor(kind).map(({ name }) => name);
const contendersFor = (kind) => ALL.filter(({ hasRpc = true }) => kind !== 'rpc' || hasRpc);
const DEFAULTS = {
  publish: { rounds: '5', messages: '100000', workloads: 'small,large', window: '1000' },
  consume: { rounds: '5', messages: '100000', workloads: 'small', window: '1000' },
  rpc: { rounds: '5', messages: '50000', workloads: 'small', window: '50' },
  outage: { rounds: '1', messages: '200000', workloads: 'large', window: '1000' },
};

export function usageOf(kind) {
  const { rounds, messages, workloads, window } = DEFAULTS[kind];
  return `Usage: npm run bench -- ${kind} [options]

  --rounds ${rounds}            how often each figure is taken; contenders take turns
  --messages ${messages}     measured in each turn${kind === 'outage' ? '' : '; a third as many before them to warm up'}
  --workloads ${workloads}${' '.repeat(Math.max(1, 12 - workloads.length))} of ${Object.entries(WORKLOADS)
    .map(([name, { title }]) => `${name} (${title})`)
    .join(', ')}
  --window ${window}${' '.repeat(14 - window.length)} publish: messages outstanding without a confirm; rpc: requests without an answer
  --prefetch 250        consume, rpc: deliveries outstanding without an ack
  --broker 4.0          ${SERIES.join(', ')}
  --only ours,amqplib   of ${namesFor(kind).join(', ')}`;
}

/** @throws {RangeError} naming the option, the value, and what it may be */
export function parseOptions(kind, args) {
  const { rounds, messages, workloads, window } = DEFAULTS[kind];
  const names = namesFor(kind);
  const usual = contendersFor(kind).filter(({ isAskedFor = false }) => !isAskedFor);
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: rounds },
      messages: { type: 'string', default: messages },
      workloads: { type: 'string', default: workloads },
      window: { type: 'string', default: window },
      prefetch: { type: 'string', default: '250' },
      broker: { type: 'string', default: '4.0' },
      only: { type: 'string', default: usual.map(({ name }) => name).join() },
      help: { type: 'boolean', default: false },
    },
  });
  const only = oneOrMoreOf(names, values.only, '--only');
  return {
    help: values.help,
    rounds: wholeNumber(values.rounds, '--rounds'),
    messages: wholeNumber(values.messages, '--messages'),
    workloads: oneOrMoreOf(Object.keys(WORKLOADS), values.workloads, '--workloads'),
    window: wholeNumber(values.window, '--window'),
    prefetch: wholeNumber(values.prefetch, '--prefetch'),
    broker: oneOrMoreOf(SERIES, values.broker, '--broker')[0],
    contenders: ALL.filter(({ name }) => only.includes(name)),
  };
}
