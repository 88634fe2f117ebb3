/** The outcome for people, as a table, and for programs, as JSON. */
import { writeFileSync } from 'node:fs';
import type { ChaosOptions } from './chaos-options.js';
import type { Outcome } from './run.js';
import type { Aftermath } from './timing.js';
import { isFailed, type MustBeZero } from './verdict.js';
import { areVillainsFailed, SHARE_TO_KEEP, type VillainVerdict } from './villain-verdict.js';

const MUST_BE_ZERO: Readonly<Record<keyof MustBeZero, string>> = {
  confirmedButLost: 'confirmed but lost',
  unexplainedDuplicates: 'duplicates, unexplained',
  promisesLeftPending: 'promises left pending',
  unexpectedEnds: 'crashes and unexpected ends',
  consumersMissing: 'consumers missing at the end',
  consumersTooMany: 'consumers too many at the end',
  deadLettered: 'dead-lettered',
  handledButNeverPublished: 'handled but never published',
};

const HEADER = ['accident', 'times', 'back after, median', 'worst', 'worst with another', 'longest pause'];

export function describeOutcome(outcome: Outcome, about: string): string {
  const { verdict, aftermath, longestPause, drainedInMs } = outcome;
  const { mustBeZero } = verdict;
  const zeros = Object.entries(MUST_BE_ZERO).map(([key, title]) => {
    const count = mustBeZero[key as keyof MustBeZero];
    return [title, count === 0 ? '0' : `${count}  <- must be 0`];
  });
  const rejected = Object.entries(verdict.rejected).map(([code, count]) => `${count} ${code}`);
  const reconnects = Object.entries(verdict.reconnects).map(([role, count]) => `${count} ${role}`);
  const figures = [
    ['published', `${verdict.published}`],
    ['confirmed', `${verdict.confirmed}`],
    ['handled', `${verdict.handled}`],
    ['rejected to the caller', rejected.join(', ') || '0'],
    ['duplicates, redelivered', `${verdict.redelivered}`],
    ['duplicates, republished', `${verdict.republished}`],
    ['deleted with their queue, on purpose', `${verdict.deletedOnPurpose}`],
    ...zeros,
    ['reconnects', reconnects.join(', ') || '0'],
    ['longest pause', `${seconds(longestPause.ms)}${because(longestPause.during)}`],
    ['drained in', drainedInMs === null ? 'not within the time' : seconds(drainedInMs)],
    ...(outcome.villains === undefined ? [] : villainFigures(outcome.villains)),
  ];
  const examples = Object.entries(verdict.examples).map(([key, items]) => `${key}: ${items.join('; ')}`);
  return [
    about,
    '',
    ...aligned(figures),
    '',
    ...aligned([HEADER, ...rowsOf(aftermath)]),
    '',
    'Back after: from the end of an accident until a message published after it was handled. Accidents that met another one',
    'before all was well again stand in the column for these. The longest pause includes the accident.',
    ...examples,
    verdictSentence(outcome),
  ].join('\n');
}

/** A promise was broken, or a villain harmed more than itself. */
export function isRunFailed({ verdict, villains }: Outcome): boolean {
  return isFailed(verdict) || (villains !== undefined && areVillainsFailed(villains));
}

function verdictSentence(outcome: Outcome): string {
  if (isFailed(outcome.verdict)) return 'FAILED: what must be zero is not.';
  return isRunFailed(outcome) ? 'FAILED: a villain was not named, or others felt it.' : 'Every promise was kept.';
}

function villainFigures({ namedAfterMs, share }: VillainVerdict): string[][] {
  return [
    ...Object.entries(namedAfterMs).map(([name, ms]) => [
      `villain named: ${name}`,
      ms === null ? 'no  <- must be' : `after ${seconds(ms)}`,
    ]),
    ...Object.entries(share).map(([queue, kept]) => [
      `rate of ${queue} beside villains`,
      `${(kept * 100).toFixed(1)} %${kept >= SHARE_TO_KEEP ? '' : `  <- must be ${SHARE_TO_KEEP * 100} %`}`,
    ]),
  ];
}

export function writeReport(path: string, outcome: Outcome, options: ChaosOptions, about: string): void {
  const { seed, seconds, rate, sabotage } = options;
  const report = { about, seed, seconds, rate, sabotage, failed: isRunFailed(outcome), ...outcome };
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}

function rowsOf(aftermath: readonly Aftermath[]): string[][] {
  const names = [...new Set(aftermath.map(({ name }) => name))].sort();
  return names.map((name) => {
    const all = aftermath.filter((one) => one.name === name);
    const struck = all.filter(({ missed }) => missed === undefined);
    const alone = backTimes(struck.filter(({ overlapped }) => !overlapped));
    const missed = all.length - struck.length;
    return [
      name,
      `${struck.length}${missed > 0 ? ` (${missed} missed)` : ''}`,
      secondsOrDash(alone[(alone.length - 1) >> 1]),
      secondsOrDash(alone.at(-1)),
      secondsOrDash(backTimes(struck.filter(({ overlapped }) => overlapped)).at(-1)),
      secondsOrDash(
        struck
          .map(({ longestPauseMs }) => longestPauseMs)
          .sort(upwards)
          .at(-1),
      ),
    ];
  });
}

function backTimes(accidents: readonly Aftermath[]): number[] {
  return accidents.flatMap(({ backAfterMs }) => backAfterMs ?? []).sort(upwards);
}

function upwards(one: number, other: number): number {
  return one - other;
}

function secondsOrDash(ms: number | undefined): string {
  return ms === undefined ? '-' : seconds(ms);
}

function because(during: readonly string[]): string {
  return during.length === 0 ? '' : ` (${during.join(', ')})`;
}

function seconds(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}
