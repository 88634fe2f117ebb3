import { describe, expect, it } from '@jest/globals';
import { type CopyClaim, type CopyOptions, CopySignatures } from './copy-signatures.js';

const SECRET = 'a secret of enough length';
const OTHER = 'another one that is as long';
const CLAIM: CopyClaim = {
  queue: 'orders',
  exchange: 'shop',
  routingKey: 'order.created',
  messageId: 'm1',
  body: Buffer.from('{"id":1}'),
};
const ours = new CopySignatures({ secret: SECRET });
const signature = ours.sign('origin', CLAIM) as string;

describe('what a copy says of where it came from', () => {
  it('is believed when it was signed with the secret', () => {
    expect(ours.believes('origin', CLAIM, signature)).toBe(true);
  });

  it.each<[string, Partial<CopyClaim>]>([
    ['for another queue', { queue: 'payments' }],
    ['of another exchange', { exchange: 'bank' }],
    ['of another routing key', { routingKey: 'order.deleted' }],
    ['of another message', { messageId: 'm2' }],
    ['of a message without id', { messageId: undefined }],
    ['with another body', { body: Buffer.from('{"id":2}') }],
    ['with a part of the claim in the body', { messageId: undefined, body: Buffer.from('"m1"]{"id":1}') }],
  ])('is not believed %s', (_, change) => {
    expect(ours.believes('origin', { ...CLAIM, ...change }, signature)).toBe(false);
  });

  it.each([undefined, 7, '', 'x', signature.slice(1), `${signature}x`, Buffer.from(signature)])(
    'is not believed with the signature %p',
    (forged) => {
      expect(ours.believes('origin', CLAIM, forged)).toBe(false);
    },
  );

  it('is not believed as something else than what was signed', () => {
    expect(ours.believes('dead-letter', CLAIM, signature)).toBe(false);
  });

  it.each<[string, CopyOptions | undefined, boolean]>([
    ['another secret', { secret: OTHER }, false],
    ['the secret behind a new one', { secret: [OTHER, SECRET] }, true],
    ['another secret, while not all sign', { secret: OTHER, unsigned: 'believed' }, true],
    ['no secret', undefined, true],
  ])('is read by those with %s', (_, options, isBelieved) => {
    expect(new CopySignatures(options).believes('origin', CLAIM, signature)).toBe(isBelieved);
  });

  it('is signed with the first of several secrets, and without one not at all', () => {
    expect(new CopySignatures({ secret: [SECRET, OTHER] }).sign('origin', CLAIM)).toBe(signature);
    expect(new CopySignatures().sign('origin', CLAIM)).toBeUndefined();
  });
});

function thrownBy(work: () => unknown): unknown {
  try {
    return work();
  } catch (thrown) {
    return thrown;
  }
}

describe('the options of copies', () => {
  it.each<[string, unknown]>([
    ['short', 'hush'],
    ['no text', 42],
    ['in a list with a short one', [SECRET, 'hush']],
    ['none of a list', []],
    ['not set, in an environment that lacks it', undefined],
  ])('refuse a secret that is %s, and do not tell it', (_, secret) => {
    const error = thrownBy(() => new CopySignatures({ secret } as CopyOptions));
    expect(error).toMatchObject({
      code: 'RMQ_OPTIONS_INVALID',
      message: expect.stringContaining('copies.secret') as unknown,
    });
    expect((error as Error).message).not.toMatch(/hush|42|enough/);
  });

  it('refuse another word for the unsigned, and another option', () => {
    expect(() => new CopySignatures({ secret: SECRET, unsigned: 'maybe' as 'believed' })).toThrow('copies.unsigned');
    expect(() => new CopySignatures({ secret: SECRET, key: 1 } as CopyOptions)).toThrow('copies');
  });
});
