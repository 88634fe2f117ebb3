/**
 * What a handler returned, as items: Observables, async iterables, and the one inside the other.
 *
 * Duty: whoever leaves is gone at once: Observables are unsubscribed from, iterators told, and a `next()` that waits ends.
 * Danger: `return()` of an async generator queues behind the `next()` that waits for an item, and that may never come.
 * Choice: iterators written by hand. What a user's own generator awaits only its author can end, with `delivery.signal`.
 */
import { from, isObservable, type Observable, of, type Subscription, takeWhile } from 'rxjs';
import { Fifo } from '../../base/fifo.js';
import { isThenable } from '../../base/thenable.js';

/** An Observable cannot be told to wait: so many of its items are kept for a reader that is slower. */
const MAX_KEPT = 10_000;

type ItemSource = AsyncIterable<unknown> | Observable<unknown>;
type Item = IteratorResult<unknown, undefined>;

const END: Item = Object.freeze({ done: true, value: undefined });

export function isStreaming(value: unknown): value is ItemSource {
  return isObservable(value) || isAsyncIterable(value);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

interface ItemsNeeds {
  /** Called with each item, in front of its reader. What it throws ends the items. */
  readonly check?: (item: unknown) => unknown;
  /** Called with what the source throws, once: throws, or returns what comes in its place. */
  readonly caught?: (thrown: unknown) => unknown;
}

/** Interceptors make an Observable of whatever the handler returned, also of its iterable. */
export function itemsOf(source: ItemSource, watch: ItemsNeeds = {}): Items {
  return new Items(source, watch);
}

/** For a caller that wants one answer: the last, or `undefined` of none. @throws the signal's reason when that fires */
export async function lastItemOf(source: ItemSource, signal: AbortSignal): Promise<unknown> {
  const items = itemsOf(source);
  items.keepOnlyTheLast();
  const leave = (): void => void items.return();
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    let last: unknown;
    for await (const item of items) last = item;
    signal.throwIfAborted();
    return last;
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

/** Begins with the first `next()`. One of these at a time; `return()` at any. */
export class Items implements AsyncIterableIterator<unknown, undefined> {
  #toBegin: ItemSource | undefined;
  readonly #check: ItemsNeeds['check'];
  #caught: ItemsNeeds['caught'];
  /** Under way, the innermost last. */
  readonly #iterators: AsyncIterator<unknown>[] = [];
  #isOver = false;
  #wantsLastOnly = false;
  /** Ends the `next()` that waits. */
  #wake: () => void = () => undefined;

  constructor(source: ItemSource, { check, caught }: ItemsNeeds) {
    this.#toBegin = source;
    this.#check = check;
    this.#caught = caught;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** To be said before the first `next()`: of what an Observable emits faster than it is read only the last is kept. */
  keepOnlyTheLast(): void {
    this.#wantsLastOnly = true;
  }

  next(): Promise<Item> {
    return new Promise((resolve, reject) => {
      this.#wake = () => resolve(END);
      this.#take().then(resolve, (thrown: unknown) => {
        this.#isOver = true;
        reject(thrown);
      });
    });
  }

  return(): Promise<Item> {
    this.#isOver = true;
    // It may hold something before its first item: the listeners of events.on(), say.
    const source = this.#toBegin as Partial<AsyncIterator<unknown>> | undefined;
    if (typeof source?.return === 'function') this.#iterators.push(source as AsyncIterator<unknown>);
    this.#toBegin = undefined;
    this.#endIterators();
    this.#wake();
    return Promise.resolve(END);
  }

  async #take(): Promise<Item> {
    try {
      return await this.#nextItem();
    } catch (thrown) {
      if (this.#isOver) return END;
      this.#endIterators();
      const caught = this.#caught;
      if (caught === undefined) throw thrown;
      this.#caught = undefined;
      this.#toBegin = of(await caught(thrown));
      return this.#take();
    }
  }

  async #nextItem(): Promise<Item> {
    while (!this.#isOver) {
      if (this.#toBegin !== undefined) this.#begin(this.#toBegin);
      const innermost = this.#iterators.at(-1);
      if (innermost === undefined) this.#isOver = true;
      else {
        const { done = false, value } = await innermost.next();
        if (this.#isOver) break;
        if (done) this.#iterators.pop();
        else {
          const item: unknown = isThenable(value) ? await value : value;
          if (isStreaming(item)) this.#toBegin = item;
          else {
            const checking = this.#check?.(item);
            if (isThenable(checking)) await checking;
            return this.#isOver ? END : { done: false, value: item };
          }
        }
      }
    }
    return END;
  }

  #begin(source: ItemSource): void {
    this.#toBegin = undefined;
    if (this.#wantsLastOnly && source instanceof Items) source.keepOnlyTheLast();
    this.#iterators.push(
      isObservable(source) ? new ObservedItems(source, this.#wantsLastOnly) : source[Symbol.asyncIterator](),
    );
  }

  /** None waits for another: each is told at once. */
  #endIterators(): void {
    for (const iterator of this.#iterators.splice(0).toReversed()) void endOf(iterator);
  }
}

async function endOf(iterator: AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {
    // It was told to end, and that it cannot even do that concerns nobody.
  }
}

/** Subscribes with the first `next()`. */
class ObservedItems implements AsyncIterator<unknown, undefined> {
  readonly #kept = new Fifo<unknown>();
  #subscription: Subscription | undefined;
  #end: { error?: unknown } | undefined;
  #wake: () => void = () => undefined;

  constructor(
    private readonly source: Observable<unknown>,
    private readonly wantsLastOnly: boolean,
  ) {}

  async next(): Promise<Item> {
    this.#subscription ??= this.#subscribed();
    while (this.#kept.size === 0 && this.#end === undefined)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    if (this.#kept.size > 0) return { done: false, value: this.#kept.shift() };
    if (this.#end !== undefined && 'error' in this.#end) throw this.#end.error;
    return END;
  }

  async return(): Promise<Item> {
    this.#kept.takeAll();
    this.#over({});
    this.#subscription?.unsubscribe();
    return END;
  }

  #subscribed(): Subscription {
    // What emits all of it while it is subscribed to cannot be unsubscribed from by then.
    const subscription = from(this.source)
      .pipe(takeWhile(() => this.#end === undefined))
      .subscribe({
        next: (item) => this.#arrived(item),
        error: (error: unknown) => this.#over({ error }),
        complete: () => this.#over({}),
      });
    if (this.#end !== undefined) subscription.unsubscribe();
    return subscription;
  }

  #arrived(item: unknown): void {
    if (this.wantsLastOnly && isPlain(item)) this.#kept.keepOnly((other) => !isPlain(other));
    this.#kept.push(item);
    if (this.#kept.size <= MAX_KEPT) return this.#wake();
    const error = new Error(
      `The Observable is faster than its reader: ${MAX_KEPT} items wait. Return an async iterable`,
    );
    this.#over({ error });
    this.#subscription?.unsubscribe();
  }

  #over(how: { error?: unknown }): void {
    this.#end ??= how;
    this.#wake();
  }
}

/** An item by itself, and not what may have none, or fail. */
function isPlain(item: unknown): boolean {
  return !isThenable(item) && !isStreaming(item);
}
