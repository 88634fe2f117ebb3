import { describe, expect, it } from '@jest/globals';
import { HostAddresses } from './host-addresses.js';

function hosts(...answers: (readonly string[])[]) {
  let asked = 0;
  const addresses = new HostAddresses(async () => {
    const answer = answers[Math.min(asked++, answers.length - 1)]!;
    return answer.map((address) => ({ address, family: 4 }));
  });
  return async (): Promise<string[] | undefined> => (await addresses.inTurn('broker'))?.map(({ address }) => address);
}

describe('the addresses of a name', () => {
  it('have their turns one after the other, in the order of the resolver', async () => {
    const inTurn = hosts(['a', 'b', 'c']);
    expect(await inTurn()).toEqual(['a', 'b', 'c']);
    expect(await inTurn()).toEqual(['b', 'c', 'a']);
    expect(await inTurn()).toEqual(['c', 'a', 'b']);
    expect(await inTurn()).toEqual(['a', 'b', 'c']);
  });

  it('all have their turns, too, when the name server turns its answers', async () => {
    const inTurn = hosts(['a', 'b'], ['b', 'a'], ['a', 'b']);
    expect([(await inTurn())![0], (await inTurn())![0], (await inTurn())![0]]).toEqual(['a', 'b', 'a']);
  });

  it('come first when they are new, and are forgotten when they are gone', async () => {
    const inTurn = hosts(['a', 'b'], ['a', 'b', 'new'], ['b'], ['a', 'b']);
    expect(await inTurn()).toEqual(['a', 'b']);
    expect(await inTurn()).toEqual(['b', 'new', 'a']);
    expect(await inTurn()).toEqual(['b']);
    expect(await inTurn()).toEqual(['a', 'b']);
  });

  it('are not looked up for what is an address', async () => {
    const addresses = new HostAddresses(() => Promise.reject(new Error('was asked')));
    expect(await addresses.inTurn('127.0.0.1')).toBeUndefined();
    expect(await addresses.inTurn('::1')).toBeUndefined();
  });

  it('are not known when the resolver does not know the name', async () => {
    await expect(new HostAddresses().inTurn('broker.invalid')).rejects.toMatchObject({ syscall: 'getaddrinfo' });
  });
});
