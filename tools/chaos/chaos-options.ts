/** The command line: read, checked, explained. */
import { parseArgs } from 'node:util';
import { asSeries, type RabbitMqSeries } from '#testing/provision/rabbitmq-installation.js';
import type { Accident } from './accident.js';
import { ACCIDENTS } from './accidents.js';
import { type Sabotage, SABOTAGES } from './protocol.js';
import { VILLAINS } from './villains.js';

export interface ChaosOptions {
  readonly help: boolean;
  readonly seconds: number;
  readonly seed: number;
  /** Messages a second. */
  readonly rate: number;
  readonly accidents: readonly Accident[];
  readonly version?: RabbitMqSeries;
  /** Where the report goes as JSON. */
  readonly report?: string;
  readonly sabotage?: Sabotage;
  /** Lets villains act besides the accidents. */
  readonly withVillains: boolean;
  /** Prints the plan and does nothing. */
  readonly isPlanOnly: boolean;
  /** Leaves ledgers and logs also when all went well. */
  readonly isKept: boolean;
}

const VILLAINS_BROKER: RabbitMqSeries = '4.3';

export const USAGE = `Usage: npm run chaos -- [options]

Publishes numbered messages through one process and consumes them in another while accidents befall the broker, the links
and the processes. Exit code 1 when a promise was broken.

  --seconds 120     how long accidents happen
  --seed 1          decides which, when and for how long: the same seed gives the same plan
  --rate 250        messages a second
  --broker 4.0      3.10, 4.0 or 4.3
  --villains        besides the accidents, villains act (RabbitMQ 4.3): ${VILLAINS.map(({ name }) => name).join(', ')}
  --only a,b        accidents whose names contain one of these words
  --report file     writes the outcome as JSON, too
  --keep            leaves ledgers and logs also when all went well
  --plan            prints the plan and ends
  --sabotage name   plants a defect, which the run has to find: ${SABOTAGES.join(', ')}

Accidents: ${ACCIDENTS.map(({ name }) => name).join('; ')}.`;

/** @throws {RangeError} naming the option, the value, and what it may be; TypeError for an option that is not known */
export function parseChaosOptions(args: readonly string[]): ChaosOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seconds: { type: 'string', default: '120' },
      seed: { type: 'string', default: '1' },
      rate: { type: 'string', default: '250' },
      broker: { type: 'string' },
      only: { type: 'string' },
      villains: { type: 'boolean', default: false },
      report: { type: 'string' },
      keep: { type: 'boolean', default: false },
      plan: { type: 'boolean', default: false },
      sabotage: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  return {
    help: values.help,
    seconds: wholeNumber(values.seconds, '--seconds', { from: 3, to: 86_400 }),
    seed: wholeNumber(values.seed, '--seed', { from: 0, to: 2 ** 32 - 1 }),
    rate: wholeNumber(values.rate, '--rate', { from: 1, to: 5_000 }),
    accidents: chosenAccidents(values.only).filter(
      ({ goesWithVillains = true }) => goesWithVillains || !values.villains,
    ),
    withVillains: values.villains,
    version: chosenBroker(values.broker, values.villains),
    report: values.report,
    sabotage: values.sabotage === undefined ? undefined : knownSabotage(values.sabotage),
    isPlanOnly: values.plan,
    isKept: values.keep,
  };
}

function wholeNumber(text: string, option: string, { from, to }: { from: number; to: number }): number {
  const value = Number(text);
  if (text !== '' && Number.isInteger(value) && value >= from && value <= to) return value;
  throw new RangeError(`${option}: "${text}" is not a whole number from ${from} to ${to}`);
}

function chosenAccidents(words: string | undefined): readonly Accident[] {
  if (words === undefined) return ACCIDENTS;
  const wanted = words.split(',').map((word) => word.trim());
  const unknown = wanted.find((word) => word === '' || !ACCIDENTS.some(({ name }) => name.includes(word)));
  if (unknown !== undefined) throw new RangeError(`--only: no accident's name contains "${unknown}"`);
  return ACCIDENTS.filter(({ name }) => wanted.some((word) => name.includes(word)));
}

function chosenBroker(series: string | undefined, withVillains: boolean): RabbitMqSeries | undefined {
  if (!withVillains) return series === undefined ? undefined : asSeries(series);
  const chosen = asSeries(series ?? VILLAINS_BROKER);
  if (chosen === VILLAINS_BROKER) return chosen;
  throw new RangeError(
    `--villains: RabbitMQ ${chosen} does not survive all of them together with the accidents. Use --broker ${VILLAINS_BROKER}`,
  );
}

function knownSabotage(text: string): Sabotage {
  const found = SABOTAGES.find((name) => name === text);
  if (found !== undefined) return found;
  throw new RangeError(`--sabotage: "${text}" is not known. Use ${SABOTAGES.join(', ')}`);
}
