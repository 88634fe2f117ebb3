/** What a subscription may say about duplicates: units, defaults, checks. */
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber, checkOptionsObject, oneOf, shown } from '../../base/option-checks.js';
import type { DeduplicationStore } from './deduplication-store.js';
import type { WantedHandling } from './handling-options.js';

export interface DeduplicationOptions {
  /**
   * How long a handled message is remembered. A copy that comes later is handled again, so make it longer than the longest time
   * that a copy can spend in a queue.
   */
  ttlMs: number;
  /** A memory that outlives the process, and that several processes share. @default this process's own, which a restart empties */
  store?: DeduplicationStore;
  /**
   * How many messages the process's own memory holds (about 150 bytes each); beyond it, the oldest are forgotten. Not with `store`.
   * @unit messages
   * @default 100_000
   */
  maxEntries?: number;
  /**
   * After how long the claim of a process that died is void in `store`, and another copy is handled. While a handler runs, its
   * claim is renewed every third of it; a handler that blocks the event loop for longer loses it. @default 30_000
   */
  claimTtlMs?: number;
  /**
   * While `store` fails: `wait` keeps deliveries and asks it again (late rather than twice); `handle` handles messages all the same
   * (twice rather than late). @default 'wait'
   */
  onStoreError?: 'wait' | 'handle';
}

const OPTION_NAMES = [
  'ttlMs',
  'store',
  'maxEntries',
  'claimTtlMs',
  'onStoreError',
] as const satisfies readonly (keyof DeduplicationOptions)[];

const STORE_METHODS = ['claim', 'done', 'release'] as const satisfies readonly (keyof DeduplicationStore)[];

const DEFAULTS = { maxEntries: 100_000, claimTtlMs: 30_000 };
/** Ten years: more is a mistake in the unit. */
const LONGEST_TTL_MS = 10 * 366 * 24 * 3_600_000;
const LONGEST_CLAIM_MS = 24 * 3_600_000;

export interface ResolvedDeduplication {
  readonly ttlMs: number;
  readonly store: DeduplicationStore | undefined;
  readonly maxEntries: number;
  readonly claimTtlMs: number;
  readonly onStoreError: 'wait' | 'handle';
}

/** @throws {@link OptionsError} */
export function resolveDeduplication(
  options: DeduplicationOptions | undefined,
  handling: Pick<WantedHandling, 'ack' | 'batch'>,
  path: string,
): ResolvedDeduplication | undefined {
  if (options === undefined) return undefined;
  refuseWithoutOutcome(handling, path);
  checkOptionsObject(options, OPTION_NAMES, path);
  const { ttlMs, store, maxEntries = DEFAULTS.maxEntries, claimTtlMs = DEFAULTS.claimTtlMs } = options;
  const { onStoreError = 'wait' } = options;
  checkNumber(ttlMs, { min: 1, max: LONGEST_TTL_MS, unit: 'milliseconds', isRequired: true }, `${path}.ttlMs`);
  checkNumber(claimTtlMs, { min: 100, max: LONGEST_CLAIM_MS, unit: 'milliseconds' }, `${path}.claimTtlMs`);
  checkNumber(maxEntries, { min: 1, max: 10_000_000, unit: 'messages', integer: true }, `${path}.maxEntries`);
  oneOf(onStoreError, ['wait', 'handle'], `${path}.onStoreError`);
  checkStore(options, path);
  return { ttlMs, store, maxEntries, claimTtlMs, onStoreError };
}

function checkStore(options: DeduplicationOptions, path: string): void {
  const { store } = options;
  if (store !== undefined) {
    const missing = STORE_METHODS.find(
      (name) => typeof (store as Partial<DeduplicationStore> | null)?.[name] !== 'function',
    );
    if (missing !== undefined)
      throw new OptionsError(
        `${path}.store`,
        `${shown(store)} has no method ${missing}()`,
        `Give a DeduplicationStore: ${STORE_METHODS.join(', ')}`,
      );
  }
  const [present, absent] =
    store === undefined ? (['claimTtlMs', 'no store'] as const) : (['maxEntries', 'a store'] as const);
  if (options[present] !== undefined)
    throw new OptionsError(
      `${path}.${present}`,
      `with ${absent} it would have no effect`,
      store === undefined ? 'Give store too, or drop it' : 'Bound the store itself, or drop it',
    );
}

/** A message is remembered when its handler has succeeded, so there has to be one handler that says so. */
function refuseWithoutOutcome({ ack, batch }: Pick<WantedHandling, 'ack' | 'batch'>, path: string): void {
  if (ack !== 'auto')
    throw new OptionsError(
      path,
      `with ack: '${ack}' nobody says when a message was handled`,
      "Use ack: 'auto', or remember message ids in the handler",
    );
  if (batch !== undefined)
    throw new OptionsError(
      path,
      'a batch is handled as a whole, and its copies cannot wait for one another',
      'Use @Subscribe, or remember message ids in the transaction of the batch',
    );
}
