/**
 * Questions to objects of others: providers of the application, say.
 *
 * Danger: such an object may be a proxy that throws for every name that it does not know (nestjs-cls makes them), a revoked
 * one, or have a getter that connects to something. And a proxy may answer every name with a function (test doubles do).
 */

/** No class is derived that often; a proxy may have one behind the other without an end. */
const MAX_DEPTH = 100;

/** What `question` found; `undefined` where whoever was asked has thrown. */
export function asked<T>(question: () => T): T | undefined {
  try {
    return question();
  } catch {
    return undefined;
  }
}

/** The method of that name which the object or one of its classes has. No getter is called. Does not throw. */
export function methodOf(object: unknown, name: PropertyKey): ((...args: unknown[]) => unknown) | undefined {
  return asked(() => {
    let holder = object;
    for (let depth = 0; depth < MAX_DEPTH && isObject(holder); depth++) {
      const value: unknown = Object.getOwnPropertyDescriptor(holder, name)?.value;
      if (typeof value === 'function') return value as (...args: unknown[]) => unknown;
      holder = Object.getPrototypeOf(holder) as unknown;
    }
    return undefined;
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
