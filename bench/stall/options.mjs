import { parseArgs } from 'node:util';
import { CONTENDERS } from '../shared/contenders.mjs';
import { oneOrMoreOf, SERIES, wholeNumber } from '../shared/options.mjs';

/** Ours twice, and amqplib with what makes it come back at all. */
const STALLED = CONTENDERS.flatMap((contender) => {
  if (contender.name === 'amqplib') return { ...contender, title: 'amqplib + its recovery' };
  // The others take the broker's wish; this one has none unless its URL says so.
  if (contender.name === 'cloudamqp') return { ...contender, asksInUrl: true };
  if (contender.name === 'nest') return { ...contender, title: `${contender.title} (acks before the handler)` };
  if (contender.name !== 'ours') return contender;
  const onThread = (thread) => ({
    ...contender,
    name: `ours-${thread}`,
    module: 'ours',
    options: { heartbeat: { thread } },
  });
  return [
    { ...onThread('worker'), title: 'ours, heartbeat thread' },
    { ...onThread('main'), title: 'ours, default' },
  ];
});
const NAMES = STALLED.map(({ name }) => name);

export const USAGE = `Usage: npm run bench -- stall [options]

  --seconds 5,15,30,45   for how long a handler blocks the event loop
  --heartbeat 5          heartbeat timeout in seconds, asked for by the broker
  --rounds 3             how often each figure is taken
  --broker 4.0           ${SERIES.join(', ')}
  --only ours-worker     of ${NAMES.join(', ')}`;

/** @throws {RangeError} naming the option, the value, and what it may be */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '5,15,30,45' },
      heartbeat: { type: 'string', default: '5' },
      rounds: { type: 'string', default: '3' },
      broker: { type: 'string', default: '4.0' },
      only: { type: 'string', default: NAMES.join() },
      help: { type: 'boolean', default: false },
    },
  });
  const only = oneOrMoreOf(NAMES, values.only, '--only');
  return {
    help: values.help,
    seconds: values.seconds.split(',').map((text) => wholeNumber(text, '--seconds')),
    heartbeatSeconds: wholeNumber(values.heartbeat, '--heartbeat'),
    rounds: wholeNumber(values.rounds, '--rounds'),
    broker: oneOrMoreOf(SERIES, values.broker, '--broker')[0],
    contenders: STALLED.filter(({ name }) => only.includes(name)),
  };
}
