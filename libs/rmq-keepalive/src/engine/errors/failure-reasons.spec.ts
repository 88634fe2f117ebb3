import { describe, expect, it } from '@jest/globals';
import { failureReasonOf, handlersErrorOf, inPlaceOf } from './failure-reasons.js';

const badRequest = (message: unknown) => Object.assign(new Error('Bad Request'), { getResponse: () => ({ message }) });

describe('an error that a filter threw in the place of the handler’s', () => {
  const original = new RangeError('no such order');

  it('stays what it is, with the other one as its cause, and says both', () => {
    const thrown = new TypeError('sorry');
    expect(inPlaceOf(thrown, original)).toBe(thrown);
    expect(thrown.cause).toBe(original);
    expect(failureReasonOf(thrown)).toBe('sorry (thrown by a filter in the place of RangeError: no such order)');
    expect(failureReasonOf(original)).toBe('no such order');
  });

  it('keeps the cause that it has, and gets the other one behind it', () => {
    const cause = new Error('because');
    const thrown = new Error('sorry', { cause });
    inPlaceOf(thrown, original);
    expect(thrown.cause).toBe(cause);
    expect(cause.cause).toBe(original);
    const named = new Error('sorry', { cause: original });
    inPlaceOf(named, original);
    expect(named.cause).toBe(original);
    expect(original.cause).toBeUndefined();
  });

  it.each([
    ['a text', 'sorry', 'sorry'],
    ['nothing', undefined, 'a thrown value of type undefined'],
    ['a frozen object', Object.freeze({ message: 'sorry' }), 'sorry'],
    ['an object that goes round', Object.assign(new Error('sorry'), {}), 'sorry'],
  ])('may be %s', (_, thrown, says) => {
    const error = inPlaceOf(thrown, original);
    expect(failureReasonOf(error)).toBe(`${says} (thrown by a filter in the place of RangeError: no such order)`);
    expect(handlersErrorOf(new Error('wrapped', { cause: error }))).toEqual({ error: original });
  });

  it('is the same when the filter threw it on', () => {
    expect(inPlaceOf(original, original)).toBe(original);
    expect(handlersErrorOf(original)).toBeUndefined();
  });
});

describe('what a validation found', () => {
  it('stands behind the message, bounded', () => {
    expect(failureReasonOf(badRequest(['id must be a string', 'quantity must be positive']))).toBe(
      'Bad Request: id must be a string; quantity must be positive',
    );
    const many = Array.from({ length: 30 }, (_, i) => `${i}`);
    expect(failureReasonOf(badRequest(many))).toMatch(/; 19; and 10 more$/);
  });

  it.each([
    ['the message again', 'Bad Request'],
    ['nothing', undefined],
    ['no text', [{ property: 'id' }]],
  ])('is left out where it is %s', (_, message) => {
    expect(failureReasonOf(badRequest(message))).toBe('Bad Request');
  });

  it('is left out where it cannot be asked for', () => {
    const getResponse = () => {
      throw new Error('no');
    };
    expect(failureReasonOf(Object.assign(new Error('Bad Request'), { getResponse }))).toBe('Bad Request');
  });
});
