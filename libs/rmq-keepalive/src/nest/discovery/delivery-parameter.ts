/**
 * Whether a handler without parameter decorators takes the delivery.
 *
 * Danger: a method that another decorator has wrapped (`...args`), with a rest or a default behind the payload says to take fewer than
 * two parameters; it would never get a delivery, and nobody would say so. But a default behind the payload may be a flag of the
 * method's own, and a delivery there would switch it on.
 * Choice: the delivery is handed over wherever it may be meant. A default is meant only where its type says `Delivery`; of another
 * one that could be meant the log warns. The types, where the compiler wrote them, are those of the method itself.
 */
import { Delivery } from '../../engine/consuming/delivery/delivery.js';
import { DeliveryBatch } from '../../engine/consuming/delivery/delivery-batch.js';

type DeliveryParameter =
  /** As its second parameter: pipes see it like every other. */
  | 'declared'
  /** It may: pipes, which are not made for it, do not see it. */
  | 'unasked'
  | 'none'
  /** A default may stand in its place. */
  | 'doubtful';

/** By their names: a process may hold two copies of this package, each with classes of its own. */
const DELIVERIES: ReadonlySet<unknown> = new Set([Delivery.name, DeliveryBatch.name]);
const NO_DELIVERIES: ReadonlySet<unknown> = new Set([String, Number, Boolean, BigInt, Symbol, Array, Date]);

export function deliveryParameter(
  method: (...args: never[]) => unknown,
  types: readonly unknown[] = [],
): DeliveryParameter {
  if (method.length >= 2) return 'declared';
  const second = secondParameterIn(method.toString());
  if (second === 'none' || NO_DELIVERIES.has(types[1])) return 'none';
  if (second !== 'default' || DELIVERIES.has((types[1] as { name?: unknown } | undefined)?.name)) return 'unasked';
  return 'doubtful';
}

/** Of a function that says to take fewer than two. A rest that begins with the first one counts. */
export function secondParameterIn(source: string): 'none' | 'rest' | 'default' | 'unknown' {
  const begin = source.indexOf('(');
  if (begin < 0 || source.includes('[native code]')) return 'unknown';
  let depth = 0;
  let parameter = begin + 1;
  let isSecond = false;
  for (let at = begin + 1; at < source.length; at++) {
    const character = source.charAt(at);
    if (depth === 0 && source.startsWith('...', at) && source.slice(parameter, at).trim() === '') return 'rest';
    if (depth === 0 && (character === ',' || character === ')')) {
      const isEmpty = source.slice(parameter, at).trim() === '';
      if (isSecond) return isEmpty ? 'none' : 'default';
      if (character === ')') return 'none';
      isSecond = true;
      parameter = at + 1;
    } else if ('([{'.includes(character)) depth += 1;
    else if (')]}'.includes(character)) depth -= 1;
    // A text may hold any of these.
    else if ('\'"`/'.includes(character)) return isSecond ? 'default' : 'unknown';
  }
  return 'unknown';
}
