import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, nearestName, shown } from './option-checks.js';

describe('when a name is not known', () => {
  it.each([
    ['timeoutSecond', 'timeoutSeconds'],
    ['timeout_seconds', 'timeoutSeconds'],
    ['TIMEOUT', 'timeoutSeconds'],
    ['interval', 'intervalMs'],
    ['idle', 'idleLimitSeconds'],
  ])('"%s" is nearest to %s', (given, nearest) => {
    expect(nearestName(given, ['timeoutSeconds', 'intervalMs', 'idleLimitSeconds'])).toBe(nearest);
  });

  it('takes no time over a name of a million letters, and none to choose from nothing', () => {
    expect(nearestName('x'.repeat(1_000_000), ['a'])).toBe('a');
    expect(nearestName('x', [])).toBeUndefined();
  });
});

describe('when a number is checked', () => {
  it('accepts both ends of the range, and Infinity where it is allowed', () => {
    const range = { min: 1, max: 5, unit: 'seconds' };
    expect(() => checkNumber(1, range, 'x')).not.toThrow();
    expect(() => checkNumber(5, range, 'x')).not.toThrow();
    expect(() => checkNumber(Infinity, { ...range, orInfinity: true }, 'x')).not.toThrow();
    expect(() => checkNumber(Infinity, range, 'x')).toThrow(OptionsError);
    expect(() => checkNumber(1.5, { ...range, integer: true }, 'x')).toThrow('whole number of seconds from 1 to 5');
  });

  it('speaks of leaving it out only where that is possible', () => {
    const range = { min: 1, max: 5 };
    expect(() => checkNumber('x', range, 'x')).toThrow(
      /^x: "x" is not a number from 1 to 5\. Use.*leave the option out$/,
    );
    expect(() => checkNumber('x', { ...range, isRequired: true }, 'x')).toThrow(/from 1 to 5\. Use one that is$/);
  });
});

describe('when a value is shown', () => {
  it('is short, quoted and on one line', () => {
    expect(shown('a\nb')).toBe('"a\\nb"');
    expect(shown('x'.repeat(100))).toHaveLength(65);
    expect([shown({}), shown([]), shown(null), shown(undefined), shown(5)]).toEqual([
      'an object',
      'an array',
      'null',
      'undefined',
      '5',
    ]);
  });

  it('accepts an object without a prototype as options', () => {
    expect(() => checkOptionsObject(Object.create(null), [], 'x')).not.toThrow();
  });
});
