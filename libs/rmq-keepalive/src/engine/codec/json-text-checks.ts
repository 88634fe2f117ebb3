/**
 * Checks on JSON from strangers that `JSON.parse` does not make: it nests as deep as memory allows, and it creates an own
 * property `__proto__`. Both are harmless until the handler works on the value: a recursive function overflows the stack,
 * a merge pollutes the prototype of every object in the process.
 *
 * Every message passes through here, so each check first asks the cheapest question that clears the ordinary message.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** True when brackets and braces are nested more than `maxDepth` deep. Needs no valid JSON, and is made before parsing. */
export function isNestedDeeperThan(maxDepth: number, json: string): boolean {
  if (hasAtMost(maxDepth, json)) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const char = json.charCodeAt(at);
    if (char === QUOTE) {
      at = endOfString(json, at);
      continue;
    }
    // In ASCII "[" and "{" differ in one bit only, and so do "]" and "}".
    const bracket = char | 0x20;
    if (bracket === 0x7b && ++depth > maxDepth) return true;
    if (bracket === 0x7d) depth--;
  }
  return false;
}

/** Whoever opens few brackets in all, wherever they stand, cannot nest them deep. */
function hasAtMost(maxOpened: number, json: string): boolean {
  let opened = 0;
  for (const bracket of ['{', '[']) {
    for (let at = json.indexOf(bracket); at !== -1; at = json.indexOf(bracket, at + 1)) {
      if (++opened > maxOpened) return false;
    }
  }
  return true;
}

/** The index of the quote that ends the string begun at `start`: the first one behind an even number of backslashes. */
function endOfString(json: string, start: number): number {
  for (let quote = json.indexOf('"', start + 1); quote !== -1; quote = json.indexOf('"', quote + 1)) {
    let before = quote - 1;
    while (json.charCodeAt(before) === BACKSLASH) before--;
    if ((quote - before) % 2 === 1) return quote;
  }
  return json.length;
}

/**
 * The first key in `value`, parsed JSON, that can reach a prototype: `__proto__`, or `constructor.prototype`. A plain key
 * `constructor` is fine, it is an ordinary word. It walks through everything: ask {@link canSpellForbiddenKey} first.
 */
export function forbiddenKeyIn(value: unknown): string | undefined {
  const open: unknown[] = [value];
  while (open.length > 0) {
    const current = open.pop();
    if (typeof current !== 'object' || current === null) continue;
    if (Object.hasOwn(current, '__proto__')) return '__proto__';
    for (const [key, inner] of Object.entries(current)) {
      if (key === 'constructor' && hasPrototypeKey(inner)) return 'constructor.prototype';
      open.push(inner);
    }
  }
  return undefined;
}

function hasPrototypeKey(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'prototype');
}

/** An escape of "_" or of a lower-case letter; without one, a forbidden key stands in the text as it is. */
const ESCAPED_KEY_LETTER = /\\u00(?:5[fF]|6[0-9a-fA-F]|7[0-9aA])/;

/** False means that no value parsed from `json` has a forbidden key; true means that one may have. */
export function canSpellForbiddenKey(json: string): boolean {
  if (json.includes('__proto__')) return true;
  if (json.includes('constructor') && json.includes('prototype')) return true;
  return json.includes('\\u00') && ESCAPED_KEY_LETTER.test(json);
}
