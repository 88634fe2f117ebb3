/**
 * The context that a message carries: who made it (`traceparent`), and the baggage, in the headers that the propagator of the
 * application writes.
 */
import {
  type Context,
  context,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type TextMapGetter,
  trace,
} from '@opentelemetry/api';

type Headers = Readonly<Record<string, unknown>>;

/** Others write text as bytes, too. */
const HEADERS: TextMapGetter<Headers> = {
  keys: (headers) => Object.keys(headers),
  get: (headers, name) => {
    const value = Object.hasOwn(headers, name) ? headers[name] : undefined;
    return Buffer.isBuffer(value) ? value.toString() : typeof value === 'string' ? value : undefined;
  },
};

/** What the message carries, and nothing else; {@link ROOT_CONTEXT} where that is nothing. */
export function carriedContext(headers: Headers): Context {
  for (const name of propagation.fields())
    if (headers[name] !== undefined) return propagation.extract(ROOT_CONTEXT, headers, HEADERS);
  return ROOT_CONTEXT;
}

/**
 * The headers that hand on `from`. None where the message says already who made it: it keeps that on every way that it takes;
 * and none in the place of one that is there.
 */
export function headersFor(
  from: Context,
  message: { readonly headers: Headers; readonly carried: Context },
): Record<string, string> | undefined {
  if (trace.getSpanContext(message.carried) !== undefined) return undefined;
  const written: Record<string, string> = {};
  // Sentry's propagator hands on the active context only, to which its context manager adds something of its own.
  context.with(from, () => propagation.inject(context.active(), written));
  let isAny = false;
  for (const name in written) {
    if (message.headers[name] === undefined) isAny = true;
    else delete written[name];
  }
  return isAny ? written : undefined;
}

/** To the span in which a message was made; `undefined` where it carries no valid one. */
export function linkTo(carried: Context): Link[] | undefined {
  const made = carried === ROOT_CONTEXT ? undefined : trace.getSpanContext(carried);
  return made === undefined ? undefined : [{ context: made }];
}

/** The present context, with the baggage of a message. */
export function withBaggageOf(carried: Context): Context {
  const baggage = propagation.getBaggage(carried);
  const active = context.active();
  return baggage === undefined ? active : propagation.setBaggage(active, baggage);
}
