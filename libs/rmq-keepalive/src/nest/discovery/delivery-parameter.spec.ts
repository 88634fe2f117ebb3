import { describe, expect, it } from '@jest/globals';
import { Delivery } from '../../engine/consuming/delivery/delivery.js';
import { deliveryParameter, secondParameterIn } from './delivery-parameter.js';

describe('the second parameter of a function', () => {
  it.each([
    ['onOrder(payload) {}', 'none'],
    ['onOrder(payload, ) {}', 'none'],
    ['onOrder() {}', 'none'],
    ['async onOrder({ id, items: [first] }) {}', 'none'],
    ['onOrder(payload = { a: [1, 2] }) {}', 'none'],
    ['function (...args) {}', 'rest'],
    ['async function* (payload, ...rest) {}', 'rest'],
    ['(payload, { signal } = {}) => 1', 'default'],
    ["onOrder({ id }, mode = 'a,b') {}", 'default'],
    ['onOrder(payload = "a,b", rest) {}', 'unknown'],
    ['payload => 1', 'unknown'],
    ['function () { [native code] }', 'unknown'],
  ])('in %s is: %s', (source, expected) => {
    expect(secondParameterIn(source)).toBe(expected);
  });
});

describe('the delivery', () => {
  const withDefault = (_payload: unknown, _second = 1): void => undefined;
  const wrapped = (..._args: unknown[]): void => undefined;

  it.each([
    ['is declared', (_payload: unknown, _delivery: unknown) => undefined, undefined, 'declared'],
    ['is not taken', (_payload: unknown) => undefined, undefined, 'none'],
    ['may be among the rest', wrapped, undefined, 'unasked'],
    ['may be what a wrapped method takes', wrapped, [Object, Delivery], 'unasked'],
    ['is not what a wrapped method takes', wrapped, [Object, Boolean], 'none'],
    ['is what a default stands for', withDefault, [Object, Delivery], 'unasked'],
    ['is not what a default stands for', withDefault, [Object, Number], 'none'],
    ['may be what a default stands for', withDefault, [Object, Object], 'doubtful'],
    ['may be what a default without a type stands for', withDefault, undefined, 'doubtful'],
  ] as const)('%s', (_, method, types, expected) => {
    expect(deliveryParameter(method, types)).toBe(expected);
  });
});
