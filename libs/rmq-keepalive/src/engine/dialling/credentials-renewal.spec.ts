import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { type ExpiringCredentials } from './credentials.js';
import { CredentialsRenewal, type RenewableLink } from './credentials-renewal.js';
import { CredentialsSource } from './credentials-source.js';

const LIFE_MS = 9_000;
const TIMEOUT_MS = 10_000;

function setUp(answer: (asked: number, now: number) => ExpiringCredentials | Promise<ExpiringCredentials>) {
  const clock = new ManualClock();
  const seen = { asked: 0, told: [] as string[], events: [] as string[], destroyed: [] as string[] };
  const link = {
    isUp: true,
    updateSecret: (secret: string): Promise<void> => {
      seen.told.push(secret);
      return Promise.resolve();
    },
    destroy: (cause: Error): void => void seen.destroyed.push(cause.message),
  } satisfies RenewableLink;
  const source = new CredentialsSource(
    { kind: 'asked', provider: () => answer(++seen.asked, clock.wallClock()) },
    clock,
    TIMEOUT_MS,
  );
  const begin = async (): Promise<CredentialsRenewal> => {
    const renewal = new CredentialsRenewal(
      link,
      await source.renew(new Promise(() => undefined)),
      source,
      {
        givingUp: () => Promise.resolve(),
        renewed: () => seen.events.push('renewed'),
        failed: (cause, retryInMs) => seen.events.push(`failed, ${retryInMs}: ${cause.message}`),
      },
      clock,
      { timeoutMs: TIMEOUT_MS, random: () => 0 },
    );
    renewal.start();
    return renewal;
  };
  return { clock, seen, link, begin };
}
const token = (asked: number, now: number): ExpiringCredentials => ({
  username: 'u',
  password: `token ${asked}`,
  expiresAt: now + LIFE_MS,
});

describe('the renewal of credentials', () => {
  it('tells the broker a new token at two thirds of the time of each', async () => {
    const { clock, seen, begin } = setUp(token);
    await begin();
    await clock.advance(5_999);
    expect(seen.told).toEqual([]);
    await clock.advance(1);
    expect(seen.told).toEqual(['token 2']);
    await clock.advance(12_000);
    expect(seen.told).toEqual(['token 2', 'token 3', 'token 4']);
    expect(seen.destroyed).toEqual([]);
  });

  it('asks no more once it is stopped, also in the middle of a question', async () => {
    const { clock, seen, begin } = setUp((asked, now) => (asked === 1 ? token(1, now) : new Promise(() => undefined)));
    const renewal = await begin();
    await clock.advance(6_000);
    expect(seen.asked).toBe(2);
    renewal.end();
    await clock.advance(600_000);
    expect(seen).toMatchObject({ asked: 2, told: [], events: [], destroyed: [] });
  });

  it('tells nothing while the provider gives the same token, and asks again in what is left of its time', async () => {
    let first: ExpiringCredentials | undefined;
    const { clock, seen, begin } = setUp((asked, now) => (asked < 3 ? (first ??= token(1, now)) : token(asked, now)));
    await begin();
    await clock.advance(7_999);
    expect(seen).toMatchObject({ asked: 2, told: [] });
    await clock.advance(1);
    expect(seen).toMatchObject({ asked: 3, told: ['token 3'], destroyed: [] });
  });

  it('does not tell a token that is over, and asks slowly once its own is', async () => {
    const { clock, seen, begin } = setUp((asked, now) => ({
      ...token(asked, now),
      expiresAt: now + (asked > 1 ? -1 : LIFE_MS),
    }));
    await begin();
    await clock.advance(LIFE_MS);
    const soFar = seen.asked;
    await clock.advance(60_000);
    expect(seen.told).toEqual([]);
    expect(seen.events[0]).toMatch(/failed, 1500: .*over already/);
    expect(seen.asked - soFar).toBeLessThanOrEqual(12);
    expect(seen.asked - soFar).toBeGreaterThanOrEqual(7);
  });

  it('gives the link up before the old token ends when the broker does not answer', async () => {
    const { clock, seen, link, begin } = setUp(token);
    link.updateSecret = () => new Promise(() => undefined);
    await begin();
    await clock.advance(7_499);
    expect(seen.destroyed).toEqual([]);
    await clock.advance(1);
    expect(seen.destroyed).toEqual([expect.stringContaining('did not take the new ones within 1500 ms')]);
  });

  it('gives the link up for another user', async () => {
    const { clock, seen, begin } = setUp((asked, now) => ({ ...token(asked, now), username: `user ${asked}` }));
    await begin();
    await clock.advance(6_000);
    expect(seen).toMatchObject({ told: [], destroyed: [expect.stringContaining('another user')] });
  });

  it('never ends for credentials that do not, and asks at once when told to', async () => {
    const { clock, seen, begin } = setUp((asked) => ({ username: 'u', password: `p${asked}` }));
    const renewal = await begin();
    await clock.advance(86_400_000);
    expect(seen.asked).toBe(1);
    renewal.renewNow();
    await clock.advance(0);
    expect(seen.told).toEqual(['p2']);
  });
});
