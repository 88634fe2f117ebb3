/** Whether a binding takes a message: the rules of the exchange types. */
import { isDeepStrictEqual } from 'node:util';

export type ExchangeType = 'direct' | 'fanout' | 'topic' | 'headers';

export const EXCHANGE_TYPES: readonly ExchangeType[] = ['direct', 'fanout', 'topic', 'headers'];

export interface BindingRule {
  readonly routingKey: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

export interface RoutedBy {
  readonly routingKey: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

export function isMatch(type: ExchangeType, rule: BindingRule, message: RoutedBy): boolean {
  switch (type) {
    case 'direct':
      return rule.routingKey === message.routingKey;
    case 'fanout':
      return true;
    case 'topic':
      return isTopicMatch(rule.routingKey.split('.'), message.routingKey.split('.'));
    case 'headers':
      return isHeadersMatch(rule.arguments, message.headers);
  }
}

/** `*` is one word, `#` any number of them. */
function isTopicMatch(pattern: readonly string[], words: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return words.length === 0;
  if (first === '#') return isTopicMatch(rest, words) || (words.length > 0 && isTopicMatch(pattern, words.slice(1)));
  return words.length > 0 && (first === '*' || first === words[0]) && isTopicMatch(rest, words.slice(1));
}

/** `all` and `any` leave out the headers that begin with `x-`; `all-with-x` and `any-with-x` do not. */
function isHeadersMatch(
  wanted: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, unknown>>,
): boolean {
  const how = typeof wanted['x-match'] === 'string' ? wanted['x-match'] : 'all';
  const names = Object.keys(wanted).filter(
    (name) => name !== 'x-match' && (how.endsWith('-with-x') || !name.startsWith('x-')),
  );
  const isThere = (name: string): boolean =>
    // A binding without a value asks only whether the header is there.
    Object.hasOwn(headers, name) && (wanted[name] === null || isDeepStrictEqual(wanted[name], headers[name]));
  return how.startsWith('any') ? names.some(isThere) : names.every(isThere);
}
