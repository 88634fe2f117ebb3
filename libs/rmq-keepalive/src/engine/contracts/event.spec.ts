import { describe, expect, it } from '@jest/globals';
import * as v from 'valibot';
import { z } from 'zod';
import { PayloadInvalidError } from '../errors/delivery-errors.js';
import { defineEvent, type EventInput, type EventPayload, isEventContract, validateAgainst } from './event.js';
import type { StandardSchema } from './standard-schema.js';

const address = { exchange: 'shop', routingKey: 'order.created' };

const withZod = defineEvent({
  ...address,
  schema: z.object({
    id: z.string(),
    quantity: z.number().int().min(1),
    note: z.string().default('none'),
    items: z.array(z.object({ price: z.number() })).default([]),
  }),
});
const withValibot = defineEvent({
  ...address,
  schema: v.object({ id: v.string(), quantity: v.number(), note: v.optional(v.string(), 'none') }),
});

const invalid = async (check: Promise<unknown>): Promise<PayloadInvalidError> => {
  const error: unknown = await check.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(PayloadInvalidError);
  return error as PayloadInvalidError;
};

describe('an event', () => {
  it('is immutable, and known as one', () => {
    const event = defineEvent<{ id: string }>(address);
    expect(Object.isFrozen(event)).toBe(true);
    expect(isEventContract(event)).toBe(true);
    expect(isEventContract({ ...address })).toBe(false);
    expect(isEventContract('shop')).toBe(false);
  });

  it('takes its types from its schema: what goes in and what comes out', () => {
    const input: EventInput<typeof withZod> = { id: '1', quantity: 1 };
    const output: EventPayload<typeof withZod> = { id: '1', quantity: 1, note: '', items: [] };
    const typed = defineEvent<{ id: string }>(address);
    const payload: EventPayload<typeof typed> = { id: '1' };
    // @ts-expect-error a number is no string
    const wrong: EventInput<typeof typed> = { id: 1 };
    expect([input, output, payload, wrong]).toHaveLength(4);
  });

  it.each<[object, RegExp]>([
    [{ exchange: 1, routingKey: '' }, /^defineEvent\.exchange/],
    [{ exchange: '' }, /^defineEvent\.routingKey/],
    [{ ...address, schema: { parse: () => 1 } }, /^defineEvent\.schema: an object is no Standard Schema/],
    [{ ...address, shema: 1 }, /Did you mean "schema"/],
  ])('is refused as %j', (options, why) => {
    expect(() => defineEvent(options as typeof address)).toThrow(why);
  });
});

describe('when a payload is checked against its contract', () => {
  it.each([
    ['zod', withZod, { items: [] }],
    ['valibot', withValibot, {}],
  ])('comes out as %s makes it, defaults filled in', async (_, event, more) => {
    expect(await validateAgainst(event, { id: '1', quantity: 2 })).toEqual({
      id: '1',
      quantity: 2,
      note: 'none',
      ...more,
    });
  });

  it('passes as it is when there is no schema', async () => {
    const payload = { any: 'thing' };
    expect(await validateAgainst(defineEvent(address), payload)).toBe(payload);
  });

  it('waits for a schema that takes its time', async () => {
    const event = defineEvent({ ...address, schema: z.string().refine(async (text) => text === 'yes') });
    expect(await validateAgainst(event, 'yes')).toBe('yes');
    await invalid(validateAgainst(event, 'no'));
  });

  it('is refused with every path, and with no value', async () => {
    const error = await invalid(
      validateAgainst(withZod, { id: 4711, quantity: 0, items: [{ price: 'secret-price' }] }),
    );
    expect(error).toMatchObject({ code: 'RMQ_PAYLOAD_INVALID', ...address });
    expect(error.issues.map(({ path }) => path)).toEqual(['id', 'quantity', 'items.0.price']);
    expect(error.message).toMatch(/"order\.created" on exchange "shop": id: .*; quantity: .*; items\.0\.price: /);
    expect(JSON.stringify(error.issues) + error.message).not.toMatch(/4711|secret/);
  });

  it.each([['p@ss.w(rd'], ['two words'], ['quo"ted'], ['a'], [4711], [-0.5]])(
    'does not quote %j where the schema does',
    async (value) => {
      const schema = v.object({
        id: v.pipe(
          v.unknown(),
          v.check(
            () => false,
            (issue) => `${issue.received} and ${String(issue.input)} are bad`,
          ),
        ),
      });
      const quoting = defineEvent({ ...address, schema });
      const { message } = (await invalid(validateAgainst(quoting, { id: value }))).issues[0]!;
      expect(message.replaceAll('"', '')).toBe('*** and *** are bad');
      const typed = defineEvent({ ...address, schema: v.object({ id: v.date() }) });
      expect((await invalid(validateAgainst(typed, { id: value }))).message).toMatch(
        /Expected Date but received "?\*\*\*/,
      );
    },
  );

  it('is refused when the schema itself throws', async () => {
    const schema: StandardSchema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: () => {
          throw new Error('secret');
        },
      },
    };
    const error = await invalid(validateAgainst(defineEvent({ ...address, schema }), {}));
    expect(error.message).toMatch(/the schema threw/);
    expect(error.message).not.toMatch(/secret/);
  });
});
