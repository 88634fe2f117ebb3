/**
 * Turns what a schema says into what an error may say. Some schemas quote the value that they refuse ("received
 * \"secret\""), and error messages end up in logs and dead-letter headers.
 */
import type { SchemaIssue } from './standard-schema.js';

const MAX_MESSAGE_LENGTH = 300;

/** `items.0.price`; empty for the payload as a whole. */
export function pathOf(issue: SchemaIssue): string {
  return keysOf(issue).map(String).join('.');
}

/** The issue's message, with every occurrence of the value it is about, quoted or bare, replaced by `***`. */
export function withoutValues(issue: SchemaIssue, payload: unknown): string {
  const value = valueAt(payload, keysOf(issue));
  let { message } = issue;
  for (const spelling of spellingsOf(value)) message = message.replace(spelling, '***');
  return message.slice(0, MAX_MESSAGE_LENGTH);
}

function keysOf({ path = [] }: SchemaIssue): PropertyKey[] {
  return path.map((segment) => (typeof segment === 'object' ? segment.key : segment));
}

function valueAt(payload: unknown, keys: readonly PropertyKey[]): unknown {
  let value = payload;
  for (const key of keys) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/** A bare one counts only as a word of its own: `a` is in every message. */
function spellingsOf(value: unknown): RegExp[] {
  if (value === '' || !['string', 'number', 'bigint'].includes(typeof value)) return [];
  const text = String(value);
  const bare = escaped(text);
  const spellings = [new RegExp(`(?<![\\p{L}\\p{N}_])${bare}(?![\\p{L}\\p{N}_])`, 'gu')];
  if (typeof value === 'string') spellings.unshift(new RegExp(escaped(JSON.stringify(text)), 'gu'));
  return spellings;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
