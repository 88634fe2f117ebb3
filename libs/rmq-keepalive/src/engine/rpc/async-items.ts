/** What a handler returned, as items: Observables, async iterables, and the one inside the other. */
import { isObservable, type Observable, type Subscription } from 'rxjs';
import { Fifo } from '../fifo.js';

/** An Observable cannot be told to wait: so many of its items are kept for a reader that is slower. */
const MAX_KEPT = 10_000;

export function isStreaming(value: unknown): value is AsyncIterable<unknown> | Observable<unknown> {
  return isObservable(value) || isAsyncIterable(value);
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Interceptors make an Observable of whatever the handler returned, also of its iterable. */
export async function* itemsOf(source: AsyncIterable<unknown> | Observable<unknown>): AsyncGenerator<unknown, void> {
  const items = isObservable(source) ? kept(source) : source;
  for await (const item of items) {
    if (isStreaming(item)) yield* itemsOf(item);
    else yield item;
  }
}

/** For a caller that wants one answer: the last, or `undefined` of none. */
export async function lastItemOf(source: AsyncIterable<unknown> | Observable<unknown>): Promise<unknown> {
  let last: unknown;
  for await (const item of itemsOf(source)) last = item;
  return last;
}

/** Subscribes with the first `next()`; unsubscribes when nobody wants more. */
async function* kept(source: Observable<unknown>): AsyncGenerator<unknown, void> {
  const waiting = new Fifo<unknown>();
  let end: { error?: unknown } | undefined;
  let wake = (): void => undefined;
  const over = (how: { error?: unknown }): void => {
    end ??= how;
    wake();
  };
  let subscription: Subscription | undefined;
  try {
    subscription = source.subscribe({
      next: (item) => {
        if (end !== undefined) return;
        waiting.push(item);
        if (waiting.size <= MAX_KEPT) return wake();
        subscription?.unsubscribe();
        over({
          error: new Error(
            `The Observable is faster than its reader: ${MAX_KEPT} items wait. Return an async iterable`,
          ),
        });
      },
      error: (error: unknown) => over({ error }),
      complete: () => over({}),
    });
    for (;;) {
      if (waiting.size > 0) yield waiting.shift();
      else if (end === undefined) await new Promise<void>((resolve) => (wake = resolve));
      else if ('error' in end) throw end.error;
      else return;
    }
  } finally {
    subscription?.unsubscribe();
  }
}
