/**
 * Contracts of events: where an event goes, what its payload is, and what checks it. One constant that publisher and
 * consumer share.
 */
import { OptionsError } from '../errors/options-error.js';
import { PayloadInvalidError, type PayloadIssue } from '../errors/delivery-errors.js';
import { checkOptionsObject, shown } from '../base/option-checks.js';
import { isThenable } from '../base/thenable.js';
import { pathOf, withoutValues } from './schema-issues.js';
import type { StandardSchema } from './standard-schema.js';

/** The same in every copy of this package. */
const IS_CONTRACT = Symbol.for('nestjs-rmq-keepalive:event-contract');

/** An event: its address and, for the compiler and perhaps for a schema, its payload. Made by {@link defineEvent}. */
export interface EventContract<Input = unknown, Output = Input> {
  readonly exchange: string;
  readonly routingKey: string;
  readonly schema: StandardSchema<Input, Output> | undefined;
  /** @internal */
  readonly [IS_CONTRACT]?: true;
  /** For the compiler only: what is published and what is consumed. Not there at run time. */
  readonly '~payload'?: { readonly input: Input; readonly output: Output };
}

/** What a consumer of the event gets: what its schema makes of the payload. */
export type EventPayload<E extends EventContract> =
  NonNullable<E['~payload']> extends { readonly output: infer Output } ? Output : never;

/**
 * What `publish(event, ...)` takes.
 *
 * ```ts
 * const emit = <E extends EventContract>(event: E, payload: EventInput<E>) => publisher.publish(event, payload);
 * ```
 */
export type EventInput<E extends EventContract> =
  NonNullable<E['~payload']> extends { readonly input: infer Input } ? Input : never;

interface EventOptions {
  /** The exchange that the event is published to. */
  exchange: string;
  /** The routing key that it is published with, and that consumers bind. */
  routingKey: string;
}

/**
 * Defines an event. With a schema (any Standard Schema v1: zod, valibot, arktype ...), its types come from there and every
 * payload is checked, before it is published and before a handler sees it.
 *
 * ```ts
 * const orderShipped = defineEvent<{ id: string }>({ exchange: 'shop', routingKey: 'order.shipped' });
 * const orderCreated = defineEvent({
 *   exchange: 'shop',
 *   routingKey: 'order.created',
 *   schema: z.object({ id: z.string(), quantity: z.int().min(1) }),
 * });
 * type OrderCreated = EventPayload<typeof orderCreated>;
 * ```
 * @throws {@link OptionsError} a name that is no string, or a schema that is none
 */
export function defineEvent<Input, Output>(
  options: EventOptions & { schema: StandardSchema<Input, Output> },
): EventContract<Input, Output>;
export function defineEvent<Payload = unknown>(options: EventOptions): EventContract<Payload>;
export function defineEvent(options: EventOptions & { schema?: StandardSchema }): EventContract {
  checkOptionsObject(options, ['exchange', 'routingKey', 'schema'], 'defineEvent');
  const { exchange, routingKey, schema } = options;
  for (const [name, value] of Object.entries({ exchange, routingKey }))
    if (typeof value !== 'string')
      throw new OptionsError(`defineEvent.${name}`, `${shown(value)} is not a string`, 'Give its name');
  if (schema !== undefined && typeof schema['~standard']?.validate !== 'function')
    throw new OptionsError(
      'defineEvent.schema',
      `${shown(schema)} is no Standard Schema`,
      'Give a schema of zod (3.24 or later), valibot (1.0 or later), arktype (2.0 or later) or another that has "~standard"',
    );
  return Object.freeze({ exchange, routingKey, schema, [IS_CONTRACT]: true as const });
}

/** Whether `value` was made by {@link defineEvent}. */
export function isEventContract(value: unknown): value is EventContract {
  return typeof value === 'object' && value !== null && IS_CONTRACT in value;
}

/**
 * Checks a payload against the schema of its contract.
 * @returns what the schema makes of it (defaults filled in, strings turned into dates); without a schema, the payload itself
 * @throws {@link PayloadInvalidError} naming what is wrong where, and no value
 */
export async function validateAgainst<E extends EventContract>(event: E, payload: unknown): Promise<EventPayload<E>> {
  return checkAgainst(event, payload) as EventPayload<E> | Promise<EventPayload<E>>;
}

/** As {@link validateAgainst}, without a promise where the schema makes none: what it throws then, it throws at once. */
export function checkAgainst(event: EventContract, payload: unknown): unknown {
  const { schema } = event;
  if (schema === undefined) return payload;
  let result: ReturnType<typeof validate>;
  try {
    result = validate(schema, payload);
  } catch (thrown) {
    throw schemaThrew(event, thrown);
  }
  if (!isThenable(result)) return validOf(event, payload, result);
  return Promise.resolve(result).then(
    (late) => validOf(event, payload, late),
    (thrown: unknown) => {
      throw schemaThrew(event, thrown);
    },
  );
}

function validOf(event: EventContract, payload: unknown, result: Awaited<ReturnType<typeof validate>>): unknown {
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map((issue): PayloadIssue => ({
    path: pathOf(issue),
    message: withoutValues(issue, payload),
  }));
  throw new PayloadInvalidError(event, issues);
}

/** A schema reports what is wrong with a value; one that throws is wrong itself. What it says may quote the payload. */
function schemaThrew(event: EventContract, thrown: unknown): PayloadInvalidError {
  return new PayloadInvalidError(event, [{ path: '', message: 'the schema threw' }], { cause: thrown });
}

function validate(schema: StandardSchema, payload: unknown): ReturnType<StandardSchema['~standard']['validate']> {
  return schema['~standard'].validate(payload);
}
