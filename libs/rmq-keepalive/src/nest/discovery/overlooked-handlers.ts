/**
 * Handlers that somebody wrote and nobody will call: each gets a warning that names it, with the way out.
 *
 * What a decorator writes hangs on the function. A subclass that overrides the method, or another decorator that replaces it, puts a
 * function without it in that place.
 */
import { decoratedMethodsOf, subscriptionsOf } from '../decorators/subscribe.decorator.js';

/** A sentence for each, of the object whose prototype this is. */
export function overlookedHandlers(prototype: object): string[] {
  const className = nameOf(prototype);
  const sentences = new Set<string>();
  for (const owner of chainOf(prototype))
    for (const { method, decorator } of decoratedMethodsOf(owner)) {
      const { holder, value } = found(prototype, method);
      if (subscriptionsOf(value).length > 0) continue;
      const name = `${className}.${String(method)}`;
      sentences.add(
        holder === owner
          ? `${name} bears ${decorator}, but another decorator has replaced the method, so nothing is consumed. ` +
              `Put ${decorator} above that one`
          : `${name} overrides ${nameOf(owner)}.${String(method)} without its ${decorator}, so nothing is consumed. ` +
              `Decorate it, too`,
      );
    }
  return [...sentences];
}

function* chainOf(prototype: object): Generator<object> {
  for (let one: object | null = prototype; one !== null && one !== Object.prototype; one = Object.getPrototypeOf(one))
    yield one;
}

function found(prototype: object, method: string | symbol): { holder: object | undefined; value: unknown } {
  for (const holder of chainOf(prototype)) {
    const descriptor = Object.getOwnPropertyDescriptor(holder, method);
    if (descriptor !== undefined) return { holder, value: descriptor.value };
  }
  return { holder: undefined, value: undefined };
}

function nameOf(prototype: object): string {
  const { constructor } = prototype as { constructor?: { name?: unknown } };
  return typeof constructor?.name === 'string' ? constructor.name : 'a class';
}
