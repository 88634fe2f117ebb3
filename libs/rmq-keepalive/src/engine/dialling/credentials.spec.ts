import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { NoCredentialsError } from '../errors/connection-errors.js';
import { OptionsError } from '../errors/options-error.js';
import { systemClock } from '../base/clock.js';
import { parseBrokerUrl } from './endpoint-rotation.js';
import { resolveConnectionOptions } from '../connection/connection-options.js';
import { type CredentialsProvider, PasswordLogin, readCredentials, resolveCredentials } from './credentials.js';
import { CredentialsSource } from './credentials-source.js';

const SECRET = 'hunter-2-hunter';
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl';
const NEVER = new Promise<never>(() => undefined);
const endpoint = parseBrokerUrl('amqp://localhost', 'urls[0]');
const sourceOf = (provider: CredentialsProvider, timeoutMs = 1_000): CredentialsSource =>
  new CredentialsSource({ kind: 'asked', provider }, systemClock, timeoutMs);
const thrownBy = (work: () => unknown): Error => {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
};
/** Everything that a logger could make of it. */
const printed = (value: unknown): string =>
  [String(value), inspect(value, { depth: 10, showHidden: true }), JSON.stringify(value)].join('\n');

describe('credentials', () => {
  it('take a Date and epoch milliseconds as their end', () => {
    const at = Date.UTC(2030, 0, 1);
    expect(readCredentials({ username: 'u', password: 'p', expiresAt: new Date(at) }, 'answer').expiresAt).toBe(at);
    expect(readCredentials({ username: 'u', password: 'p', expiresAt: at }, 'answer').expiresAt).toBe(at);
    expect(readCredentials({ username: 'u', password: 'p' }, 'answer').expiresAt).toBeUndefined();
  });

  it.each<[unknown, RegExp]>([
    [undefined, /undefined is not user and password/],
    [SECRET, /string is not user and password/],
    [{ password: SECRET }, /answer\.username.*has to be a string, not undefined/],
    [{ username: 'u', password: '' }, /answer\.password.*empty/],
    [{ username: 'u', password: `${SECRET}\0` }, /NUL/],
    [{ username: 'u', password: SECRET, expiresAt: 1_900_000_000 }, /seconds since the epoch.*exp \* 1000/],
    [{ username: 'u', password: SECRET, expiresAt: '2030-01-01' }, /neither a valid Date nor a finite number/],
    [{ username: 'u', password: SECRET, expiresAt: new Date('never') }, /neither a valid Date/],
    [{ username: 'u', password: SECRET, expiresIn: 60 }, /no option "expiresIn". Did you mean "expiresAt"/],
  ])('are refused when they are of no use (case %#), and never shown', (given, message) => {
    const error = thrownBy(() => readCredentials(given, 'answer'));
    expect(error).toBeInstanceOf(OptionsError);
    expect(error.message).toMatch(message);
    expect(printed(error)).not.toContain(SECRET);
  });

  it('never print their password', () => {
    expect(printed({ login: new PasswordLogin('me', SECRET, 1) })).not.toContain(SECRET);
    expect(printed({ login: new PasswordLogin('me', SECRET, 1) })).toContain('me');
  });

  it('that end cannot be given as an object, which nobody could renew', () => {
    const given = { username: 'u', password: SECRET, expiresAt: new Date() };
    expect(thrownBy(() => resolveCredentials(given)).message).toMatch(/credentials\.expiresAt.*Give a function/);
  });
});

describe('with credentials beside the addresses', () => {
  const login = { username: 'u', password: SECRET };
  it.each<[object, RegExp]>([
    [{ urls: 'amqp://someone@h', credentials: login }, /urls\[0\].*names a user, and so do `credentials`/],
    [{ urls: { hostname: 'h', username: 'x' }, credentials: login }, /urls\[0\].*names a user/],
    [{ urls: 'amqp://h', credentials: 'external' }, /urls\[0\].*not amqps/],
    [{ urls: 'amqps://h', credentials: 'external' }, /tls.*no client certificate.*cert and key, or pfx/],
    [{ urls: 'amqp://h', credentials: 'externally' }, /credentials.*string is not user and password.*'external'/],
  ])('what does not go together is refused at once (case %#)', (options, message) => {
    const error = thrownBy(() => resolveConnectionOptions(options as { urls: string }));
    expect(error).toBeInstanceOf(OptionsError);
    expect(error.message).toMatch(message);
    expect(printed(error)).not.toContain(SECRET);
  });

  it('takes what goes together', () => {
    const tls = { cert: 'c', key: 'k' };
    expect(() => resolveConnectionOptions({ urls: 'amqps://h', credentials: 'external', tls })).not.toThrow();
    expect(() => resolveConnectionOptions({ urls: [{ hostname: 'h' }], credentials: login })).not.toThrow();
  });
});

describe('a credentials provider', () => {
  it('is asked once for those who ask at the same time, and again for the next', async () => {
    let asked = 0;
    const source = sourceOf(() => Promise.resolve({ username: 'u', password: `p${++asked}` }));
    const [one, other] = await Promise.all([source.loginAt(endpoint, NEVER), source.loginAt(endpoint, NEVER)]);
    expect(one).toBe(other);
    expect(await source.loginAt(endpoint, NEVER)).toMatchObject({ password: 'p2' });
    // A renewal takes what is as young as that; the other link may just have asked.
    expect(await source.renew(NEVER, 1_000)).toMatchObject({ password: 'p2' });
    expect(await source.renew(NEVER)).toMatchObject({ password: 'p3' });
  });

  it('that throws is a typed error, without what it quotes of tokens, URLs and the last password', async () => {
    let fails = false;
    const source = sourceOf(() => {
      if (fails) throw new Error(`no luck with ${SECRET}, ${TOKEN} at https://me:pw@vault`);
      return { username: 'u', password: SECRET };
    });
    await source.loginAt(endpoint, NEVER);
    fails = true;
    const error = await source.renew(NEVER).catch((thrown: unknown) => thrown as NoCredentialsError);
    expect(error).toBeInstanceOf(NoCredentialsError);
    expect(error).toMatchObject({ code: 'RMQ_NO_CREDENTIALS', message: expect.stringContaining('no luck with') });
    for (const secret of [SECRET, TOKEN, 'pw@']) {
      expect(printed(error)).not.toContain(secret);
      expect((error as Error).stack).not.toContain(secret);
    }
  });

  it('that hangs is given up after its time, and asked afresh', async () => {
    let asked = 0;
    const source = sourceOf(
      () => (++asked === 1 ? new Promise(() => undefined) : { username: 'u', password: 'p' }),
      20,
    );
    await expect(source.renew(NEVER)).rejects.toThrow(/did not answer within 20 ms/);
    expect(await source.renew(NEVER)).toMatchObject({ username: 'u' });
  });

  it('that answers with rubbish is a typed error', async () => {
    const source = sourceOf(() => ({ username: 'u', token: SECRET }) as never);
    const error = await source.renew(NEVER).catch((thrown: unknown) => thrown as Error);
    expect(error).toBeInstanceOf(NoCredentialsError);
    expect(printed(error)).not.toContain(SECRET);
  });
});
