import { describe, expect, it } from '@jest/globals';
import { inspect } from 'node:util';
import { OptionsError } from '../errors/options-error.js';
import { readAddressParts } from './broker-address.js';
import { EndpointRotation, parseBrokerUrl } from './endpoint-rotation.js';

const SECRET = 'p/a:s#s%@';
const refusal = (address: unknown): string => {
  try {
    readAddressParts(address, 'urls[0]');
  } catch (error) {
    expect(error).toBeInstanceOf(OptionsError);
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
};

describe('when a broker address is given in parts', () => {
  it('is what the same address is as a URL', () => {
    expect(readAddressParts({ hostname: 'localhost' }, 'urls[0]')).toEqual(
      parseBrokerUrl('amqp://localhost', 'urls[0]'),
    );
    const parts = {
      ...({ protocol: 'amqps', hostname: '[::1]', port: 5999, vhost: 'my/host é' } as const),
      ...{ username: 'us@er', password: SECRET, frameMax: 8192, channelMax: 0, locale: 'en_US' },
    };
    const url = `amqps://us%40er:${encodeURIComponent(SECRET)}@[::1]:5999/my%2Fhost%20%C3%A9?frameMax=8192&channelMax=0&locale=en_US`;
    expect(readAddressParts(parts, 'urls[0]')).toEqual(parseBrokerUrl(url, 'urls[0]'));
  });

  it('prints itself without user and password', () => {
    const endpoint = readAddressParts({ hostname: 'h', username: 'someone', password: SECRET }, 'urls[0]');
    const printed = [String(endpoint), inspect(endpoint, { showHidden: true }), JSON.stringify(endpoint)].join();
    expect(printed).not.toContain(SECRET);
    expect(printed).not.toContain('someone');
  });

  it('rotates beside URLs', async () => {
    const rotation = new EndpointRotation(['amqp://a', { hostname: 'b', port: 5673 }]);
    const dialled = [await rotation.next(), await rotation.next(), await rotation.next()].map(String);
    expect(dialled).toEqual(['amqp://a:5672/%2F', 'amqp://b:5673/%2F', 'amqp://a:5672/%2F']);
  });

  it.each<[unknown, RegExp]>([
    [{}, /urls\[0\]\.hostname.*has to be a string, not undefined/],
    [{ hostname: '' }, /hostname.*not a bare name/],
    [{ hostname: `amqp://u:${SECRET}@h` }, /hostname.*not a bare name.*a part of its own/],
    [{ hostname: 'h:5672' }, /hostname.*not a bare name/],
    [{ hostname: 'h', port: '5672' }, /port.*a string is not a number/],
    [{ hostname: 'h', port: 0 }, /port.*0 is not a whole number from 1 to 65535/],
    [{ hostname: 'h', vhost: '' }, /vhost.*empty.*Leave it out/],
    [{ hostname: 'h', vhost: '%2F' }, /vhost.*percent-encoded.*as it is: "\/"/],
    [{ hostname: 'h', protocol: 'https' }, /protocol.*neither 'amqp' nor 'amqps'/],
    [{ hostname: 'h', password: SECRET }, /a password but no user/],
    [{ hostname: 'h', username: 7 }, /username.*has to be a string, not number/],
    [{ hostname: 'h', frameMax: 100 }, /frameMax.*from 8192/],
    [{ hostname: 'h', channelMax: 70_000 }, /channelMax.*from 1 to 65535/],
    [{ hostname: 'h', heartbeat: 5 }, /heartbeat\.timeoutSeconds/],
    [{ host: 'h' }, /no option "host". Did you mean "hostname"/],
  ])('refuses %j, and shows no part of it', (address, message) => {
    const said = refusal(address);
    expect(said).toMatch(message);
    expect(said).not.toContain(SECRET);
  });
});
