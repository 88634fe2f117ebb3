import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { NoAddressError } from '../errors/connection-errors.js';
import { OptionsError } from '../errors/options-error.js';
import { EndpointRotation, parseBrokerUrl, type AddressProvider } from './endpoint-rotation.js';

const parts = (url: string) => {
  const { protocol, hostname, port, username, password, vhost, query } = parseBrokerUrl(url, 'urls[0]');
  return { protocol, hostname, port, username, password, vhost, query };
};

const thrownBy = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

const refusal = (url: unknown): OptionsError => {
  const error = thrownBy(() => parseBrokerUrl(url as string, 'urls[0]'));
  expect(error).toBeInstanceOf(OptionsError);
  return error as OptionsError;
};

/** Everything that a logger could make of a value. */
const printed = (value: unknown): string =>
  [String(value), inspect(value, { depth: 10, showHidden: true }), JSON.stringify(value)].join('\n');

describe('when a broker URL is parsed', () => {
  it('fills in the defaults', () => {
    expect(parts('amqp://localhost')).toEqual({
      protocol: 'amqp',
      hostname: 'localhost',
      port: 5672,
      username: 'guest',
      password: 'guest',
      vhost: '/',
      query: {},
    });
    expect(parts('amqps://broker.example').port).toBe(5671);
  });

  it('reads every part, percent-decoded', () => {
    expect(
      parts(
        'amqps://us%40er:p%2Fa%3As%23s%25@broker.example:5999/my%2Fhost%20%C3%A9?frameMax=8192&channelMax=100&locale=en_US',
      ),
    ).toEqual({
      protocol: 'amqps',
      hostname: 'broker.example',
      port: 5999,
      username: 'us@er',
      password: 'p/a:s#s%',
      vhost: 'my/host é',
      query: { frameMax: 8192, channelMax: 100, locale: 'en_US' },
    });
  });

  it('takes IPv4 and bracketed IPv6 addresses', () => {
    expect(parts('amqp://127.0.0.1:5673')).toMatchObject({ hostname: '127.0.0.1', port: 5673 });
    expect(parts('amqp://u:p@[::1]:5673/v')).toMatchObject({ hostname: '::1', port: 5673, vhost: 'v' });
    expect(String(parseBrokerUrl('amqp://[::1]', 'urls[0]'))).toBe('amqp://[::1]:5672/%2F');
  });

  it('takes the vhost "/" with and without writing it', () => {
    expect(parts('amqp://localhost').vhost).toBe('/');
    expect(parts('amqp://localhost/%2F').vhost).toBe('/');
    expect(parts('amqp://localhost/%2f').vhost).toBe('/');
    expect(parts('amqp://localhost?locale=en_US').vhost).toBe('/');
  });

  it('refuses a trailing slash, which would mean the vhost with the empty name, and says what to write', () => {
    const { message } = refusal('amqp://localhost:5672/');
    expect(message).toContain('drop the slash');
    expect(message).toContain('%2F');
  });

  it('refuses an unencoded slash in the vhost', () => {
    expect(refusal('amqp://localhost/a/b').message).toContain('Write that slash as %2F');
    expect(refusal('amqp://localhost//').message).toContain('Write that slash as %2F');
  });

  it('takes a user without a password, and white space around the URL', () => {
    expect(parts('amqp://user@localhost')).toMatchObject({ username: 'user', password: '' });
    expect(parts('  amqp://user:@localhost\n')).toMatchObject({ username: 'user', password: '' });
  });

  it('takes an "@" in the password, encoded or not: only the last one before the host ends it', () => {
    expect(parts('amqp://user:p@ss@localhost').password).toBe('p@ss');
    expect(parts('AMQP://user:p%40ss@localhost')).toMatchObject({ protocol: 'amqp', password: 'p@ss' });
  });

  it('sends a heartbeat in the URL to the option that is for it', () => {
    expect(refusal('amqp://localhost?heartbeat=30').message).toContain('heartbeat.timeoutSeconds');
  });

  it('refuses a parameter it does not know, so that a typing mistake does not go unnoticed', () => {
    expect(refusal('amqp://localhost?frame_max=8192').message).toContain('nearest to yours: frameMax');
  });

  it.each([
    'frameMax=4096',
    'frameMax=8191',
    'frameMax=-1',
    'frameMax=1e4',
    'frameMax=',
    'frameMax=4294967296',
    'channelMax=65536',
    'channelMax=x',
  ])('refuses %s', (query) => {
    expect(refusal(`amqp://localhost?${query}`).option).toBe(`urls[0]?${query.split('=')[0]}`);
  });

  it("takes 0 as the broker's choice", () => {
    expect(parts('amqp://localhost?frameMax=0&channelMax=0').query).toEqual({ frameMax: 0, channelMax: 0 });
  });

  it.each([undefined, null, 5, {}, ['amqp://localhost']])('refuses %p: not a string', (url) => {
    expect(refusal(url).message).toContain('has to be a string');
  });

  it.each([
    '',
    'localhost',
    'localhost:5672',
    'http://localhost',
    'amqp:localhost',
    'amqp:/localhost',
    'mqtt://localhost',
    'xamqp://h',
  ])('refuses "%s": no AMQP URL', (url) => {
    expect(refusal(url).message).toContain('does not begin with amqp:// or amqps://');
  });

  it.each(['amqp://', 'amqp:///vhost', 'amqp://user:pass@/vhost', 'amqp://user:pass@:5672'])(
    'refuses "%s": no host',
    (url) => {
      expect(refusal(url).option).toBe('urls[0]');
    },
  );

  it.each(['amqp://localhost:0', 'amqp://localhost:65536', 'amqp://localhost:port', 'amqp://[::1', 'amqp://ho st'])(
    'refuses "%s"',
    (url) => {
      expect(refusal(url).option).toBe('urls[0]');
    },
  );

  it('refuses a password without a user', () => {
    expect(refusal('amqp://:SECRET@localhost').message).toContain('no user');
  });
});

describe('when a URL with a password is wrong', () => {
  it.each([
    'amqp://user:SECRET@localhost:0',
    'amqp://user:SECRET@localhost:99999/v',
    'amqp://user:SECRET@localhost/',
    'amqp://user:SECRET@localhost/a/b',
    'amqp://user:SECRET@',
    'amqp://user:SECRET@localhost?heartbeat=5',
    'amqp://user:SECRET@localhost?frameMax=SECRET',
    'amqp://user:%SECRET@localhost',
    'amqp://user:1/SECRET@localhost',
    'amqp://user:1/SECRET/@localhost/v',
    'amqp://user:/SECRET@localhost/v',
    'amqp://user:1#SECRET@localhost',
    'amqp://user:1?SECRET@localhost',
    'amqp://user:1?SECRET=1@localhost',
    'amqp://user:1?SECRET#1@localhost',
    'amqp://localhost?SECRET',
    'http://user:SECRET@localhost',
    'user:SECRET@localhost',
  ])('does not show it: %s', (url) => {
    const error = refusal(url);
    expect(printed(error)).not.toContain('SECRET');
    expect(error.stack).not.toContain('SECRET');
  });
});

describe('when an endpoint is printed', () => {
  const endpoint = parseBrokerUrl('amqps://USER:SECRET@broker.example/my%2Fvhost', 'urls[0]');

  it('shows where it leads, and neither user nor password', () => {
    expect(String(endpoint)).toBe('amqps://broker.example:5671/my%2Fvhost');
    expect(printed({ nested: [endpoint] })).not.toMatch(/USER|SECRET/);
    expect(printed(endpoint)).not.toMatch(/USER|SECRET/);
  });

  it('prints something that parses to the same place', () => {
    expect(parts(String(endpoint))).toMatchObject({ hostname: 'broker.example', port: 5671, vhost: 'my/vhost' });
  });
});

describe('when the addresses are a fixed list', () => {
  it('hands out the first one first, then each in turn', async () => {
    const rotation = new EndpointRotation(['amqp://a', 'amqp://b', 'amqp://c']);
    const hosts: string[] = [];
    for (let attempt = 0; attempt < 7; attempt++) hosts.push((await rotation.next()).hostname);
    expect(hosts.join('')).toBe('abcabca');
    expect(rotation.count).toBe(3);
  });

  it('hands out an address as often as it stands in the list', async () => {
    const rotation = new EndpointRotation(['amqp://a', 'amqp://a', 'amqp://b']);
    const hosts: string[] = [];
    for (let attempt = 0; attempt < 6; attempt++) hosts.push((await rotation.next()).hostname);
    expect(hosts.join('')).toBe('aabaab');
  });

  it('refuses an invalid URL before anything is dialled, and says which one', () => {
    const error = thrownBy(() => new EndpointRotation(['amqp://a', 'http://b']));
    expect(error).toBeInstanceOf(OptionsError);
    expect((error as OptionsError).option).toBe('urls[1]');
  });

  it.each([[[]], ['amqp://a'], [undefined], [{}]])('refuses %p in place of a list', (urls) => {
    expect(thrownBy(() => new EndpointRotation(urls as string[]))).toBeInstanceOf(OptionsError);
  });
});

describe('when a provider is asked for the addresses', () => {
  const scripted = (...answers: readonly (readonly string[])[]): AddressProvider => {
    let next = 0;
    return () => answers[Math.min(next++, answers.length - 1)]!.map((name) => `amqp://${name}`);
  };
  const hostsOf = async (rotation: EndpointRotation, attempts: number) => {
    const hosts: string[] = [];
    for (let attempt = 0; attempt < attempts; attempt++) hosts.push((await rotation.next()).hostname);
    return hosts.join('');
  };

  it('asks it before every attempt, also when it answers later, and not before the first', async () => {
    let asked = 0;
    const rotation = new EndpointRotation(async () => {
      asked++;
      return ['amqp://a', 'amqp://b'];
    });
    expect([asked, rotation.count]).toEqual([0, 0]);
    expect(await hostsOf(rotation, 3)).toBe('aba');
    expect([asked, rotation.count]).toEqual([3, 2]);
  });

  it('goes on behind the address last tried when the list has changed around it', async () => {
    expect(await hostsOf(new EndpointRotation(scripted(['a', 'b', 'c'], ['x', 'a', 'b', 'c'])), 3)).toBe('abc');
    expect(await hostsOf(new EndpointRotation(scripted(['a', 'b', 'c'], ['a', 'b', 'c'], ['b', 'c'])), 4)).toBe('abcb');
  });

  it('keeps its place by number when that address is gone, wherever the list now ends', async () => {
    expect(await hostsOf(new EndpointRotation(scripted(['a', 'b', 'c'], ['x', 'y', 'z'])), 3)).toBe('ayz');
    expect(await hostsOf(new EndpointRotation(scripted(['a', 'b', 'c'], ['a', 'b', 'c'], ['x'])), 4)).toBe('abxx');
  });

  it('knows an address again though its password is a new one', async () => {
    let token = 0;
    const rotation = new EndpointRotation(() => {
      token++;
      return [`amqp://u:${token}@a`, `amqp://u:${token}@b`];
    });
    expect((await rotation.next()).password).toBe('1');
    expect(await rotation.next()).toMatchObject({ hostname: 'b', password: '2' });
    expect(await rotation.next()).toMatchObject({ hostname: 'a', password: '3' });
  });

  const failureOf = async (provider: AddressProvider): Promise<NoAddressError> => {
    const error = await new EndpointRotation(provider).next().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(NoAddressError);
    return error as NoAddressError;
  };

  it.each([
    ['throws', () => Promise.reject(new Error('consul is down'))],
    [
      'throws at once',
      () => {
        throw new Error('consul is down');
      },
    ],
  ] as [string, AddressProvider][])('says so, with the cause, when it %s', async (_, provider) => {
    const error = await failureOf(provider);
    expect(error.code).toBe('RMQ_NO_ADDRESS');
    expect(error.message).toContain('consul is down');
    expect((error.cause as Error).message).toBe('consul is down');
  });

  it('shows no secret of an error that it throws, neither in the message nor in the cause', async () => {
    const secretive = Object.assign(new Error('no answer from https://user:SECRET@consul/v1'), {
      config: { headers: { authorization: 'SECRET' } },
    });
    const error = await failureOf(() => Promise.reject(secretive));
    expect(error.message).toContain('https://***@consul/v1');
    expect(printed(error)).not.toContain('SECRET');
    expect((error.cause as Error).stack).not.toContain('SECRET');
  });

  it.each([[[]], [undefined], [null], ['amqp://a'], [['http://u:SECRET@a']], [[5]], [['amqp://a', '']]])(
    'says so when it answers with %p',
    async (answer) => {
      const error = await failureOf((() => answer) as unknown as AddressProvider);
      expect(error.message).toContain("the address provider's answer");
      expect(error.cause).toBeInstanceOf(OptionsError);
      expect(printed(error)).not.toContain('SECRET');
    },
  );

  it('throws what is not an error as a readable one', async () => {
    expect((await failureOf(() => Promise.reject('nope'))).message).toContain('nope');
    expect((await failureOf(() => Promise.reject(undefined))).message).toContain('a thrown value of type undefined');
  });

  it('asks again after a failure and goes on in its rotation', async () => {
    let asked = 0;
    const rotation = new EndpointRotation(() => {
      if (++asked === 2) throw new Error('down');
      return ['amqp://a', 'amqp://b'];
    });
    expect(await hostsOf(rotation, 1)).toBe('a');
    await expect(rotation.next()).rejects.toBeInstanceOf(NoAddressError);
    expect(await hostsOf(rotation, 2)).toBe('ba');
  });
});
