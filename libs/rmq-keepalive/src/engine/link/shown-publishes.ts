/**
 * Shows publishes to those who stand around amqplib's own `publish`: tracing agents, which note a span and add a header to
 * the message (`traceparent`).
 *
 * Danger: amqplib would encode a message otherwise than we do. A copy would lose how its headers were written, the sender
 * its one write for many messages.
 * Choice: amqplib's method is called, from the outermost wrapper down to the call that would write; that one takes down what
 * the headers have become. The message is written by us as ever, with what was added. amqplib goes on counting what was
 * published on the channel, and its confirm tells the agent.
 */
import type { Channel } from 'amqplib';
import { joinedTables, withoutFields } from '../wire/field-table-slices.js';
import { readFieldTable } from '../wire/field-table-reader.js';
import { encodeFieldTable } from '../wire/field-table-writer.js';
import type { PublishFrame } from '../wire/publish-frames.js';
import { isPatched } from './patched-methods.js';

/** A message as it goes out after it was shown. */
interface ShownPublish {
  readonly message: PublishFrame;
  /** It does not go out after all: whoever saw it hears why. */
  takeBack(why: Error): void;
}

/** Must be called in the async context of whoever publishes. Does not throw. */
export type ShowPublish = (message: PublishFrame) => ShownPublish;

/** What amqplib's channels have and its types do not tell. */
interface Insides {
  connection: object;
  /** One for each publish that waits for its confirm. */
  readonly unconfirmed: (((why: Error) => void) | false | null)[];
  publish(...given: unknown[]): unknown;
  pushConfirmCallback(told: undefined): void;
}

/** `undefined`: nobody stands there. */
export function showPublishes(channel: Channel, confirms: 'on' | 'off'): ShowPublish | undefined {
  const insides = channel as unknown as Insides;
  if (!isPatched(channel, ['publish', 'sendMessage'])) return undefined;
  let became: unknown;
  // Whoever looks for something on the connection finds it there.
  const connection: object = Object.create(insides.connection, {
    sendMessage: { value: (...[, , , , properties]: { headers?: unknown }[]) => (became = properties?.headers) },
  });
  return (message) => {
    const { exchange, routingKey, content, properties } = message;
    const given = headersOf(message);
    const waiting = insides.unconfirmed.length;
    const real = insides.connection;
    became = undefined;
    insides.connection = connection;
    try {
      const options = { ...properties, headers: { ...given } };
      insides.publish(exchange, routingKey, content, options, () => undefined);
    } catch {
      // Theirs, not the message's.
    } finally {
      insides.connection = real;
    }
    // One that failed on its way is counted all the same: it goes out, and the broker confirms it.
    if (confirms === 'on' && insides.unconfirmed.length === waiting) insides.pushConfirmCallback(undefined);
    return {
      message: withAdded(message, added(became, given)),
      takeBack: (why) => {
        const told = confirms === 'on' && insides.unconfirmed.pop();
        if (told) told(why);
      },
    };
  };
}

function headersOf({ headerTable }: PublishFrame): Record<string, unknown> {
  if (headerTable === undefined) return {};
  try {
    return readFieldTable(headerTable, LENGTH_BYTES, headerTable.length);
  } catch {
    return {};
  }
}

const LENGTH_BYTES = 4;

/** Inherited ones, too: amqplib derives the object that it writes from the one that it is given. */
function added(became: unknown, given: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  if (typeof became !== 'object' || became === null) return undefined;
  const more: Record<string, unknown> = {};
  let isMore = false;
  for (const name in became) {
    const value = (became as Record<string, unknown>)[name];
    if (value === undefined || Object.is(value, given[name])) continue;
    more[name] = value;
    isMore = true;
  }
  return isMore ? more : undefined;
}

function withAdded(message: PublishFrame, more: Record<string, unknown> | undefined): PublishFrame {
  if (more === undefined) return message;
  const { exchange, routingKey, content, properties, headerTable } = message;
  try {
    const table = encodeFieldTable(more);
    const left = headerTable && withoutFields(headerTable, (name) => Object.hasOwn(more, name));
    return { exchange, routingKey, content, properties, headerTable: left ? joinedTables(left, table) : table };
  } catch {
    return message;
  }
}
