import { parseArgs } from 'node:util';
import { CONTENDERS } from '../shared/contenders.mjs';
import { oneOrMoreOf, SERIES, wholeNumber } from '../shared/options.mjs';
import { WORKLOADS } from '../throughput/protocol.mjs';

/** The works, with how many messages a turn measures if nothing else is said. */
export const WORKS = { publish: 100_000, consume: 100_000, confirm: 5_000 };
export const TRANSPORTS = ['tcp', 'tls'];

export const USAGE = `Usage: npm run bench -- relay [options]

  --rounds 7                     pairs of turns for each figure: without the heartbeat thread, and with it
  --messages ${WORKS.publish}              measured in each turn (of ${WORKS.confirm} confirmed one by one, so many in proportion)
  --works publish,consume,confirm
  --workload small               or ${Object.entries(WORKLOADS)
    .map(([name, { title }]) => `${name} (${title})`)
    .join(', ')}
  --transports tcp,tls
  --window 1000                  publish: messages outstanding without a confirm
  --prefetch 250                 consume: deliveries outstanding without an ack
  --broker 4.0                   ${SERIES.join(', ')}`;

/** @throws {RangeError} naming the option, the value, and what it may be */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string', default: '7' },
      messages: { type: 'string', default: `${WORKS.publish}` },
      works: { type: 'string', default: Object.keys(WORKS).join() },
      workload: { type: 'string', default: 'small' },
      transports: { type: 'string', default: TRANSPORTS.join() },
      window: { type: 'string', default: '1000' },
      prefetch: { type: 'string', default: '250' },
      broker: { type: 'string', default: '4.0' },
      help: { type: 'boolean', default: false },
    },
  });
  const share = wholeNumber(values.messages, '--messages') / WORKS.publish;
  return {
    help: values.help,
    rounds: wholeNumber(values.rounds, '--rounds'),
    works: oneOrMoreOf(Object.keys(WORKS), values.works, '--works').map((kind) => ({
      kind,
      messages: Math.ceil(WORKS[kind] * share),
    })),
    workload: oneOrMoreOf(Object.keys(WORKLOADS), values.workload, '--workload')[0],
    transports: oneOrMoreOf(TRANSPORTS, values.transports, '--transports'),
    window: wholeNumber(values.window, '--window'),
    prefetch: wholeNumber(values.prefetch, '--prefetch'),
    broker: oneOrMoreOf(SERIES, values.broker, '--broker')[0],
    contenders: CONTENDERS.filter(({ name }) => name === 'ours'),
  };
}
