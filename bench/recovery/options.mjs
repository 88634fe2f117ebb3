import { parseArgs } from 'node:util';
import { CONTENDERS } from '../shared/contenders.mjs';
import { oneOrMoreOf, SERIES, wholeNumber } from '../shared/options.mjs';

export const FAULTS = ['close', 'kill'];
const NAMES = CONTENDERS.map(({ name }) => name);

export const USAGE = `Usage: npm run bench -- recovery [options]

  --consumers 1,100,1000   how many consumers, one queue each
  --rounds 5               how often each figure is taken; contenders take turns
  --broker 3.10            ${SERIES.join(', ')}
  --only ours,amqplib      of ${NAMES.join(', ')}
  --faults close,kill      a forced close, kill -9 and restart`;

/** @throws {RangeError} naming the option, the value, and what it may be */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    options: {
      consumers: { type: 'string', default: '1,100,1000' },
      rounds: { type: 'string', default: '5' },
      broker: { type: 'string', default: '3.10' },
      only: { type: 'string', default: NAMES.join() },
      faults: { type: 'string', default: FAULTS.join() },
      help: { type: 'boolean', default: false },
    },
  });
  const only = oneOrMoreOf(NAMES, values.only, '--only');
  return {
    help: values.help,
    consumers: values.consumers.split(',').map((text) => wholeNumber(text, '--consumers')),
    rounds: wholeNumber(values.rounds, '--rounds'),
    broker: oneOrMoreOf(SERIES, values.broker, '--broker')[0],
    contenders: CONTENDERS.filter(({ name }) => only.includes(name)).map(withItsRecovery),
    faults: oneOrMoreOf(FAULTS, values.faults, '--faults'),
  };
}

/** Without it amqplib would not come back at all. */
function withItsRecovery(contender) {
  return contender.name === 'amqplib' ? { ...contender, title: 'amqplib + its recovery' } : contender;
}
