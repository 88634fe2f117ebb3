/** One replay: letters are taken, published again with confirm, and then removed; what is not wanted or cannot go stays. */
import {
  ORIGIN_HEADERS,
  originMarks,
  REDELIVERY_COUNT_HEADER,
  RENEWAL_COUNT_HEADER,
  RETRY_HEADERS,
} from '../copies/carried-headers.js';
import type { CopyClaim } from '../copies/copy-signatures.js';
import { asError } from '../errors/reasons.js';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, shown } from '../base/option-checks.js';
import { type Copy, type CopyTransport, isForbidden, sendCopy } from '../copies/copy-transport.js';
import { DEAD_LETTER_HEADERS } from '../consuming/failures/move-to-dead-letters.js';
import type { DeadLetterReader, HeldLetter } from './dead-letter-reader.js';
import { type DeadLetter, REPLAYED_HEADER } from './dead-letter.js';
import { copiedHeaders, copiedProperties } from '../copies/message-copy.js';

export interface ReplayOptions {
  /** The most letters. @unit letters @default all that are there at the beginning */
  limit?: number;
  /** Which ones; the others stay. Must answer at once. @default all */
  filter?: (letter: DeadLetter) => boolean;
  /**
   * Where to: back to the `queue` that it came from; to its `exchange` with its routing key, and so to every queue that is
   * bound for it; or to an exchange of your choice (`{ exchange: '', routingKey: queue }` for a queue). @default 'queue'
   */
  to?: 'queue' | 'exchange' | { readonly exchange: string; readonly routingKey: string };
}

/** What a replay did, in counts. */
export interface ReplayReport {
  readonly replayed: number;
  /** `filter` did not want them. */
  readonly skipped: number;
  /** They could not be published (their queue is gone, say), and stay. */
  readonly failed: number;
  /** Why the first of those failed. */
  readonly cause: Error | undefined;
}

/** Replayed at the same time: enough to hide the round trips, few bodies in memory. */
const REPLAY_WINDOW = 8;

/** What we wrote on the letter: it starts afresh. */
const OURS: ReadonlySet<string> = new Set([
  ...Object.values(DEAD_LETTER_HEADERS),
  ...Object.values(RETRY_HEADERS),
  ...Object.values(ORIGIN_HEADERS),
  REDELIVERY_COUNT_HEADER,
  RENEWAL_COUNT_HEADER,
  REPLAYED_HEADER,
]);

export class Replay {
  #replayed = 0;
  #skipped = 0;
  #failed = 0;
  #cause: Error | undefined;
  /** Where we may not write: every further try would cost a channel, and end the same way. */
  readonly #forbidden = new Map<string, Error>();
  /** How many more to take at most: what comes meanwhile is left alone, also what was replayed and failed again. */
  #behind = Infinity;

  constructor(
    private readonly reader: DeadLetterReader,
    private readonly copies: CopyTransport,
    private readonly options: Required<ReplayOptions>,
  ) {}

  async run(): Promise<ReplayReport> {
    while (this.#behind > 0 && this.#wantsMore > 0) await this.#replaySome(Math.min(this.#wantsMore, REPLAY_WINDOW));
    return { replayed: this.#replayed, skipped: this.#skipped, failed: this.#failed, cause: this.#cause };
  }

  get #wantsMore(): number {
    return this.options.limit - this.#replayed - this.#failed;
  }

  async #replaySome(count: number): Promise<void> {
    const underWay: Promise<void>[] = [];
    try {
      while (underWay.length < count) {
        const held = await this.#next();
        if (held === undefined) break;
        if (this.options.filter(held.letter)) underWay.push(this.#started(held));
        else this.#skipped += 1;
      }
    } finally {
      // Whatever has happened, nobody is left behind who still wants to remove a letter.
      await Promise.allSettled(underWay);
    }
    await Promise.all(underWay);
  }

  async #next(): Promise<HeldLetter | undefined> {
    if (this.#behind <= 0) return undefined;
    const held = await this.reader.take();
    if (held === undefined) this.#behind = 0;
    else this.#behind = Math.min(this.#behind - 1, held.message.fields.messageCount);
    return held;
  }

  /** Its failure is heard when the others are done. */
  #started(held: HeldLetter): Promise<void> {
    const replayed = this.#replay(held);
    replayed.catch(() => undefined);
    return replayed;
  }

  async #replay(held: HeldLetter): Promise<void> {
    try {
      await this.#publishAgain(held.letter);
    } catch (thrown) {
      this.#failed += 1;
      this.#cause ??= asError(thrown);
      return;
    }
    this.reader.remove(held);
    this.#replayed += 1;
  }

  /** Who may write into the dead-letter queue must not decide where we, with our rights, publish to. */
  #refuseForged(letter: DeadLetter, to: string): void {
    const { signatures } = this.copies;
    const { messageId, body } = letter;
    const claim = claimOf(letter) ?? { queue: '', exchange: '', routingKey: '', messageId, body };
    if (signatures.believes('dead-letter', claim, letter.headers[DEAD_LETTER_HEADERS.signature])) return;
    throw new OptionsError(
      'replay options.to',
      `dead letter ${shown(letter.messageId ?? '(no id)')} says which ${to} it came from, and that is not signed with copies.secret`,
      'Look at it, and give { exchange, routingKey }',
    );
  }

  async #publishAgain(letter: DeadLetter): Promise<void> {
    const { to } = this.options;
    const { exchange, routingKey } = destinationOf(letter, to);
    if (typeof to === 'string') this.#refuseForged(letter, to);
    const address = `${exchange}\0${routingKey}`;
    const forbidden = this.#forbidden.get(address);
    if (forbidden !== undefined) throw forbidden;
    const claim = claimOf(letter);
    const origin = to === 'queue' && claim !== undefined ? originMarks(this.copies.signatures, claim) : {};
    const copy: Copy = {
      kind: 'replay',
      exchange,
      routingKey,
      content: letter.body,
      properties: copiedProperties(letter.properties),
      headers: copiedHeaders(letter, { without: OURS }),
      ours: { [REPLAYED_HEADER]: letter.replayed + 1, ...origin },
    };
    try {
      await sendCopy(copy, this.copies);
    } catch (thrown) {
      if (isForbidden(thrown)) this.#forbidden.set(address, asError(thrown));
      throw thrown;
    }
  }
}

/** Undefined if the letter does not say all of it. */
function claimOf({ queue, exchange, routingKey, messageId, body }: DeadLetter): CopyClaim | undefined {
  if (queue === undefined || exchange === undefined || routingKey === undefined) return undefined;
  return { queue, exchange, routingKey, messageId, body };
}

function destinationOf(
  { queue, exchange, routingKey, messageId }: DeadLetter,
  to: NonNullable<ReplayOptions['to']>,
): { exchange: string; routingKey: string } {
  if (typeof to === 'object') return to;
  if (to === 'queue' && queue !== undefined) return { exchange: '', routingKey: queue };
  if (to === 'exchange' && exchange !== undefined && routingKey !== undefined) return { exchange, routingKey };
  throw new OptionsError(
    'replay options.to',
    `dead letter ${shown(messageId ?? '(no id)')} does not say which ${to} it came from`,
    'Give { exchange, routingKey }',
  );
}

/** @throws {@link OptionsError} */
export function checkedReplay(options: ReplayOptions): Required<ReplayOptions> {
  checkOptionsObject(options, ['limit', 'filter', 'to'], 'replay options');
  const { limit = Infinity, filter = () => true, to = 'queue' } = options;
  checkNumber(
    limit,
    { min: 1, max: Number.MAX_SAFE_INTEGER, unit: 'dead letters', integer: true, orInfinity: true },
    'replay options.limit',
  );
  if (typeof filter !== 'function')
    throw new OptionsError('replay options.filter', `${shown(filter)} is not a function`, 'Give (letter) => boolean');
  const isAddress =
    typeof to === 'object' && to !== null && typeof to.exchange === 'string' && typeof to.routingKey === 'string';
  if (to !== 'queue' && to !== 'exchange' && !isAddress)
    throw new OptionsError(
      'replay options.to',
      `${shown(to)} is not known`,
      "Use 'queue', 'exchange' or { exchange, routingKey }",
    );
  return { limit, filter, to };
}
