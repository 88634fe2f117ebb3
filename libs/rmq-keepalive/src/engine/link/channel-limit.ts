/** A limit on channels that connection.tune does not tell: of a user over all of his connections, or of a node. */

export interface ChannelLimit {
  readonly whose: 'user' | 'node';
  readonly limit: number;
}

/** RabbitMQ 4.0.5 names the node where the user should be; 3.10 and 4.0 put the number in brackets, 4.3 does not. */
const REACHED =
  /number of channels opened (for user|on node) .* has reached the maximum allowed .*limit of \(?(\d+)\)?/;

/** What the broker said when it ended a connection with 530, if it did so over such a limit. */
export function channelLimitIn(words: string): ChannelLimit | undefined {
  const [, whose, limit] = REACHED.exec(words) ?? [];
  return whose === undefined ? undefined : { whose: whose === 'for user' ? 'user' : 'node', limit: Number(limit) };
}

/** Tells the loss of a link that only teaches how many channels fit, as the first one of them does, from a failure. */
export function lessonOrFailure(): (cause: Error) => 'lesson' | 'failure' {
  let lessons = 0;
  return ({ message }) => (channelLimitIn(message) !== undefined && lessons++ === 0 ? 'lesson' : 'failure');
}

/** The first time after six seconds, so that it heals within ten; while nothing changes, less often. */
const FIRST_PROBE_MS = 6_000;
const MAX_PROBE_MS = 30_000;

/** @param inVain how many probes found nothing, in a row. @param random services of one user should not all ask at once */
export function probeDelayMs(inVain: number, random: () => number): number {
  return Math.min(MAX_PROBE_MS, FIRST_PROBE_MS * 1.5 ** inVain) * (1 + random() / 4);
}
