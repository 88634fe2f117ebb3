/**
 * Instances of our classes, whichever copy of this package made them.
 *
 * Danger: a process may load the package twice, as ESM (an application that imports it) and as CommonJS (a library that
 * requires it). Each copy has classes of its own, and `instanceof` knows only one of them: a `Settlement` of the other copy
 * would not be heeded, and an error would slip through every `catch` that looks for it.
 * Choice: a mark that all copies share, and the names of the classes. What our own copy made is judged as ever.
 */
const MARK = Symbol.for('nestjs-rmq-keepalive:made-by-any-copy');

/** Marks the instances of `root`, and of all classes that extend it. */
export function markForAllCopies(root: { readonly prototype: object }): void {
  Object.defineProperty(root.prototype, MARK, { value: true });
}

/**
 * What `value instanceof kind` answers.
 * @param root the marked class that `kind` is, or extends
 */
export function isOfAnyCopy(value: unknown, kind: Function, root: Function): boolean {
  if (isInstance(value, kind)) return true;
  if (typeof value !== 'object' || value === null || !(MARK in value) || isInstance(value, root)) return false;
  return classNamesOf(value).includes(kind.name);
}

/** As if nobody had said otherwise. */
function isInstance(value: unknown, kind: Function): boolean {
  return Function.prototype[Symbol.hasInstance].call(kind, value);
}

function classNamesOf(value: object): string[] {
  const names: string[] = [];
  for (
    let at = Object.getPrototypeOf(value) as object | null;
    at !== null;
    at = Object.getPrototypeOf(at) as object | null
  )
    names.push(at.constructor.name);
  return names;
}
