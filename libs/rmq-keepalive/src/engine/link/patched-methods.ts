/**
 * Whether somebody has put themselves around methods of amqplib: a tracing agent, say.
 *
 * Danger: what we write past these methods nobody sees who stands around them, and a trace ends at us.
 * Choice: the source tells. The text of a method stands in the text of its class; that of a wrapper put in its place does not.
 * A loader that rewrites amqplib while it is loaded (`--import`) changes both, and leaves names of its own in them. Where a
 * bundler has made functions of the classes all of them look patched, which costs time, and nothing else.
 */

type Method = (...args: never[]) => unknown;

/** By the method: its class is looked through once in a process. */
const isWrapped = new WeakMap<Method, boolean>();

/** What a rewriting loader writes into the methods that it changes (orchestrion, as New Relic, Sentry and Datadog have it). */
const REWRITTEN = /__apm\b|\btr_ch_apm|\.hasSubscribers\b|\.runStores\b/;

/** Asks the object itself as well as every class that it is of. */
export function isPatched(object: object, names: readonly string[]): boolean {
  for (let holder: object | null = object; holder !== null; holder = Object.getPrototypeOf(holder) as object | null) {
    for (const name of names) {
      const method: unknown = Object.getOwnPropertyDescriptor(holder, name)?.value;
      if (typeof method === 'function' && (holder === object || isPatchedIn(holder, method as Method))) return true;
    }
  }
  return false;
}

function isPatchedIn({ constructor: owner }: object, method: Method): boolean {
  let answer = isWrapped.get(method);
  if (answer === undefined) {
    const text = String(method);
    answer = !String(owner).includes(text) || REWRITTEN.test(text);
    isWrapped.set(method, answer);
  }
  return answer;
}
