/** Which handler a routing key belongs to, when patterns have wildcards: the rule by which a topic exchange routes. */
const ANY_WORD = '*';
const ANY_WORDS = '#';
/** The pattern of a message is its sender's word, and the protocol allows no longer routing key. */
const LONGEST_ROUTING_KEY = 255;

export function hasWildcard(pattern: string): boolean {
  return pattern.split('.').some((word) => word === ANY_WORD || word === ANY_WORDS);
}

/** `*` stands for exactly one word, `#` for any number of them, none included, wherever it stands. */
export function matchesPattern(pattern: string, routingKey: string): boolean {
  if (routingKey.length > LONGEST_ROUTING_KEY) return false;
  return matches(pattern.split('.'), 0, routingKey === '' ? [] : routingKey.split('.'), 0);
}

function matches(pattern: readonly string[], at: number, words: readonly string[], from: number): boolean {
  const part = pattern[at];
  if (part === undefined) return from === words.length;
  if (part === ANY_WORDS) {
    // Several in a row mean one: skipped, so that no pattern takes exponential time for nothing.
    if (pattern[at + 1] === ANY_WORDS) return matches(pattern, at + 1, words, from);
    for (let next = from; next <= words.length; next++) if (matches(pattern, at + 1, words, next)) return true;
    return false;
  }
  return (
    from < words.length && (part === ANY_WORD || part === words[from]) && matches(pattern, at + 1, words, from + 1)
  );
}
