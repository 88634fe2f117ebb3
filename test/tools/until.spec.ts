import { describe, expect, it } from '@jest/globals';
import { staysTrue, until } from '../support/until.js';

describe('until', () => {
  it('resolves with the first truthy answer', async () => {
    let asked = 0;
    await expect(until('three were asked', () => (++asked === 3 ? 'third' : ''), { everyMs: 1 })).resolves.toBe(
      'third',
    );
    expect(asked).toBe(3);
  });

  it('names what it waited for and the last answer when the deadline has passed', async () => {
    const waiting = until('the queue is empty', () => Promise.resolve(0), { timeoutMs: 20, everyMs: 1 });
    await expect(waiting).rejects.toThrow('Waited 20 ms in vain until the queue is empty; the last answer was 0');
  });

  it('asks once more when the deadline has passed, for the machine may have stood still between two questions', async () => {
    let isThere = false;
    const waiting = until('it is there', () => isThere, { timeoutMs: 20, everyMs: 1 });
    isThere = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    await expect(waiting).resolves.toBe(true);
  });

  it('takes a probe that throws for one that has no answer yet', async () => {
    let asked = 0;
    const probe = () => {
      if (++asked < 3) throw new Error('too early');
      return asked;
    };
    await expect(until('it answers', probe, { everyMs: 1 })).resolves.toBe(3);

    const hopeless = until('it answers', () => JSON.parse('{'), { timeoutMs: 10, everyMs: 1 });
    await expect(hopeless).rejects.toThrow(/it answers; the last probe threw SyntaxError/);
  });
});

describe('staysTrue', () => {
  it('resolves when every answer was truthy, up to one at the end', async () => {
    let asked = 0;
    await staysTrue('nothing comes', () => ++asked > 0, 20, { everyMs: 1 });
    expect(asked).toBeGreaterThan(1);
  });

  it('rejects at the first answer that is not, and says which', async () => {
    let asked = 0;
    const watching = staysTrue('nothing comes', () => ++asked < 3, 60_000, { everyMs: 1 });
    await expect(watching).rejects.toThrow(
      'It did not stay true for 60000 ms that nothing comes; the last answer was false',
    );
    expect(asked).toBe(3);
  });

  it('takes a probe that throws for one that is no longer true', async () => {
    const watching = staysTrue('it parses', () => JSON.parse('{'), 60_000);
    await expect(watching).rejects.toThrow(/that it parses; the last probe threw SyntaxError/);
  });

  it('asks once more at the end, for the machine may have stood still between two questions', async () => {
    let isQuiet = true;
    const watching = staysTrue('it is quiet', () => isQuiet, 20, { everyMs: 1 });
    isQuiet = false;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    await expect(watching).rejects.toThrow('that it is quiet');
  });
});
