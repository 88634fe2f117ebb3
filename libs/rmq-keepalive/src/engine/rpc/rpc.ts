/** The RPC of a connection: everything that calls or answers over its publishing link. */
import type { Clock } from '../clock.js';
import { OptionsError } from '../errors.js';
import { checkNumber, checkOptionsObject, shown } from '../option-checks.js';
import type { Publishers } from '../publishing/publishers.js';
import { Replies } from './replies.js';
import { Calls, type CallsStatus, DIRECT_REPLY_TO, type ResolvedCallsOptions } from './calls.js';

/** Options of `connection.openCalls()`. */
export interface CallsOptions {
  /** Shown in errors and status. */
  name: string;
  /** A queue that exists, to hear replies on; it must be read by nobody else. @default direct reply-to, a queue of nobody */
  replyQueue?: string;
  /** Calls outstanding at a time; a further one is refused with RMQ_RPC_TOO_MANY_CALLS. 1..1_000_000 @default 10_000 */
  maxCalls?: number;
}

export class Rpc {
  readonly #all = new Set<Calls>();
  #replies: Replies | undefined;

  constructor(
    private readonly publishers: Publishers,
    private readonly clock: Clock,
  ) {}

  /** A channel for calls of its own; opened with the first of them. @throws {@link OptionsError} */
  openCalls(options: CallsOptions): Calls {
    const calls = new Calls(resolveCalls(options), this.publishers, this.clock, () => this.#all.delete(calls));
    this.#all.add(calls);
    return calls;
  }

  /** The channel for replies; opened with the first of them. */
  get replies(): Replies {
    return (this.#replies ??= new Replies(this.openCalls({ name: 'replies' })));
  }

  /** Of all together. */
  get status(): CallsStatus {
    const sum: Record<string, number> = {};
    for (const { status } of this.#all)
      for (const [name, count] of Object.entries(status)) sum[name] = (sum[name] ?? 0) + (count as number);
    return { ...NO_CALLS, ...sum };
  }

  /** Resolves when no call is outstanding any more. */
  async untilIdle(): Promise<void> {
    await Promise.all([...this.#all].map((calls) => calls.untilIdle()));
  }

  /** Ends what is outstanding. @returns how many calls that were */
  close(): number {
    return [...this.#all].reduce((sum, calls) => sum + calls.close(), 0);
  }
}

function resolveCalls(options: CallsOptions): ResolvedCallsOptions {
  checkOptionsObject(options, ['name', 'replyQueue', 'maxCalls'], 'openCalls');
  const { name, replyQueue = DIRECT_REPLY_TO, maxCalls = 10_000 } = options;
  for (const [option, value] of Object.entries({ name, replyQueue }))
    if (typeof value !== 'string' || value === '')
      throw new OptionsError(`openCalls.${option}`, `${shown(value)} is not a name`, 'Give one');
  checkNumber(maxCalls, { min: 1, max: 1_000_000, unit: 'calls', integer: true }, 'openCalls.maxCalls');
  return { name, replyQueue, maxCalls };
}

const NO_CALLS: CallsStatus = {
  outstanding: 0,
  finished: 0,
  failed: 0,
  timedOut: 0,
  aborted: 0,
  unroutable: 0,
  linkLost: 0,
  refused: 0,
  closed: 0,
  lateReplies: 0,
  strayReplies: 0,
};
