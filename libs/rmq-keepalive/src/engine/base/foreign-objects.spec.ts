import { describe, expect, it } from '@jest/globals';
import { methodOf } from './foreign-objects.js';

const NAME = Symbol('name');

class Known {
  [NAME](): string {
    return 'known';
  }
}
class Derived extends Known {}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function endless(): object {
  return new Proxy({}, { getPrototypeOf: endless });
}

const throwing = (): never => {
  throw new Error('not to be asked');
};

describe('the method of an object of somebody else', () => {
  it.each([
    ['its own', { [NAME]: () => 'known' }],
    ['of its class', new Known()],
    ['of the class that its class is derived from', new Derived()],
    ['behind a proxy', new Proxy(new Known(), {})],
  ])('is found: %s', (_, object) => {
    expect(methodOf(object, NAME)?.call(object)).toBe('known');
  });

  it.each([
    ['nothing', () => undefined],
    ['null', () => null],
    ['a text', () => 'text'],
    ['an object without a class', () => Object.create(null) as unknown],
    ['a field that is no function', () => ({ [NAME]: 1 })],
    ['a getter', () => Object.defineProperty({}, NAME, { get: throwing })],
    ['a proxy that throws for what it does not know', () => new Proxy({}, { get: throwing })],
    [
      'a proxy whose every trap throws',
      () => new Proxy({}, { getOwnPropertyDescriptor: throwing, getPrototypeOf: throwing }),
    ],
    ['a proxy with one behind it, and so on without an end', () => endless()],
    ['a revoked proxy', () => revoked()],
    ['a test double, which answers every name', () => new Proxy({}, { get: () => () => undefined })],
  ])('is none, and asking for it throws nothing: %s', (_, make: () => unknown) => {
    expect(methodOf(make(), NAME)).toBeUndefined();
  });
});
