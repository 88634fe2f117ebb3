import { createSecureContext } from 'node:tls';
import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../errors/options-error.js';
import { type RmqConnectionOptions, resolveConnectionOptions } from './connection-options.js';
import { RmqConnection } from './rmq-connection.js';

describe('when an option of the connection cannot work', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['connectionName', { connectionName: 5 }, '5 is not a name of 1 to 200 characters'],
    ['connectionName', { connectionName: ' ' }, '" " is not a name'],
    ['connectionName', { connectionName: 'x'.repeat(201) }, 'is not a name of 1 to 200'],
    ['tls', { tls: 'secret-key' }, 'a string is not what node:tls takes. Give { ca, cert, key, ... }'],
    ['tls', { tls: true }, 'a boolean is not what node:tls takes'],
    ['clientProperties', { clientProperties: ['x'] }, 'an array is not an object of names and values'],
    ['links', { links: 'one' }, `"one" is not known. Use 'separate' or 'shared'`],
    ['startup', { startup: 'now' }, `Use 'background', 'wait' or 'fail-fast'`],
    ['topology.queues', { topology: { queues: 'orders' } }, `"orders" is not an array. Use [{ name: 'orders' }]`],
    ['topology.exchanges', { topology: { exchanges: {} } }, 'an object is not an array'],
    ['topology.bindings', { topology: { bindings: null } }, 'null is not an array'],
    [
      'topology.queues[0].durable',
      { topology: { queues: [{ name: 'q', durable: 'false' }] } },
      'neither true nor false',
    ],
    ['topology.queues[0].type', { topology: { queues: [{ name: 'q', type: 'fast' }] } }, `'quorum' or 'stream'`],
    [
      'topology.queues[0].arguments',
      { topology: { queues: [{ name: 'q', arguments: [] }] } },
      'not an object of names',
    ],
    ['topology.exchanges[0].internal', { topology: { exchanges: [{ name: 'x', internal: 1 }] } }, '1 is neither'],
    ['topology.exchanges[0].type', { topology: { exchanges: [{ name: 'x', type: 3 }] } }, 'not an exchange type'],
    [
      'topology.bindings[0].routingKey',
      { topology: { bindings: [{ exchange: 'x', queue: 'q', routingKey: [7] }] } },
      'is not a routing key',
    ],
  ])('says so at boot, with a way out: %s of %j', (option, options, problem) => {
    const make = (): unknown => new RmqConnection({ urls: 'amqp://localhost', ...options } as RmqConnectionOptions);
    expect(make).toThrow(OptionsError);
    expect(make).toThrow(problem);
    expect(make).toThrow(expect.objectContaining({ option, code: 'RMQ_OPTIONS_INVALID' }));
  });

  it('shows nothing of a value that may be a secret', () => {
    const make = (): unknown => resolveConnectionOptions({ urls: 'amqp://localhost', tls: 'secret-key' as never });
    expect(make).not.toThrow(/secret-key/);
  });

  describe('TLS options that cannot be handed to the heartbeat thread', () => {
    const onThread = {
      heartbeat: { thread: 'worker' },
      tls: { ca: 'x', checkServerIdentity: () => undefined },
    } as const;
    const make = (options: RmqConnectionOptions) => (): unknown => resolveConnectionOptions(options);

    it.each([
      ['a function', onThread.tls, 'tls.checkServerIdentity'],
      ['a secure context', { secureContext: createSecureContext() }, 'tls.secureContext'],
    ])('are refused at boot: %s', (_, tls, option) => {
      for (const urls of ['amqps://localhost', ['amqp://localhost', 'AMQPS://localhost'], () => []]) {
        const refused = make({ ...onThread, urls, tls });
        expect(refused).toThrow(expect.objectContaining({ option, code: 'RMQ_OPTIONS_INVALID' }));
        expect(refused).toThrow("or use heartbeat.thread: 'main'");
      }
    });

    it('are taken without the thread, from a function that is asked later, and where nothing uses them', () => {
      const urls = 'amqps://localhost';
      expect(make({ ...onThread, urls, heartbeat: { thread: 'main' } })).not.toThrow();
      expect(make({ ...onThread, urls, tls: () => onThread.tls })).not.toThrow();
      expect(make({ ...onThread, urls: 'amqp://localhost' })).not.toThrow();
      expect(
        make({ ...onThread, urls, tls: { ca: Buffer.from('x'), cert: ['y'], minVersion: 'TLSv1.3' } }),
      ).not.toThrow();
    });
  });

  it('takes what is right', () => {
    const tls = { ca: 'x' };
    const resolved = resolveConnectionOptions({
      urls: 'amqp://localhost',
      connectionName: 'shop',
      tls,
      clientProperties: { team: 'orders' },
    });
    expect(resolved).toMatchObject({ connectionName: 'shop', clientProperties: { team: 'orders' } });
    expect(resolved.tls()).toBe(tls);
    expect(resolveConnectionOptions({ urls: 'amqp://localhost', tls: () => tls }).tls()).toBe(tls);
  });

  it('lets the JSON codec take what may be published, unless it is told otherwise', () => {
    const large = '"' + 'x'.repeat(17 * 1024 * 1024) + '"';
    const codecOf = (options: Partial<RmqConnectionOptions>) =>
      resolveConnectionOptions({ urls: 'amqp://localhost', ...options }).codec;
    const decoded = (options: Partial<RmqConnectionOptions>) => (): unknown =>
      codecOf(options).decode(Buffer.from(large), {});
    expect(decoded({})).toThrow('more than json.maxBytes (16777216)');
    expect(decoded({ publish: { maxMessageBytes: 32 * 1024 * 1024 } })).not.toThrow();
    expect(decoded({ publish: { maxMessageBytes: 32 * 1024 * 1024 }, json: { maxBytes: 1_000 } })).toThrow('(1000)');
  });
});
