import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { interfacesByName, namesOfOptions } from '../../tools/docs/option-interfaces.js';
import { optionsPages, PRINTED } from '../../tools/docs/options-pages.js';

describe('the pages of the options', () => {
  it.each([...optionsPages()])('%s is what the TSDoc says (npm run docs:options prints it)', (path, page) => {
    expect(readFileSync(path, 'utf8')).toBe(page);
  });

  it('have every interface of options that the package exports, and those that these name', () => {
    const options = [...namesOfOptions(interfacesByName())];
    expect(options.length).toBeGreaterThan(25);
    expect(options.filter((name) => !PRINTED.has(name))).toEqual([]);
  });

  it('control: give a number its unit, and an option its default', () => {
    const retry = interfacesByName().get('RetryOptions')?.options ?? [];
    const attempts = retry.find(({ name }) => name === 'attempts');
    expect(attempts).toMatchObject({ type: 'number', unit: 'attempts', byDefault: '5', isRequired: false });
    const maxDelay = retry.find(({ name }) => name === 'maxDelayMs');
    expect(maxDelay).toMatchObject({ unit: 'ms', byDefault: '300_000 (5 minutes), or firstDelayMs if that is more' });
  });
});
