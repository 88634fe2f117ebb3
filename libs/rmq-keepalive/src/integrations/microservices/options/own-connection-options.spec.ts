import { describe, expect, it } from '@jest/globals';
import { ownConnectionOptions } from './own-connection-options.js';
import type { NestTransportOptions } from './transport-options.js';

const own = (options: NestTransportOptions) => ownConnectionOptions(options, 'RmqServer');

describe('the connection of a transport of its own', () => {
  it('goes to localhost when nothing is said, as Nest’s does', () => {
    expect(own({})).toEqual({ urls: ['amqp://localhost'] });
  });

  it('takes URLs as text and in parts', () => {
    const parts = {
      hostname: 'mq',
      port: 5673,
      username: 'shop',
      password: 'p@ss/word',
      vhost: '/a b',
      frameMax: 8192,
    };
    expect(own({ urls: [parts] }).urls).toEqual(['amqp://shop:p%40ss%2Fword@mq:5673/%2Fa%20b?frameMax=8192']);
    expect(own({ urls: [{ protocol: 'amqps', hostname: '::1' }] }).urls).toEqual(['amqps://guest:guest@[::1]']);
    expect(own({ urls: ['amqp://a', 'amqp://b/v'] }).urls).toEqual(['amqp://a', 'amqp://b/v']);
  });

  it('takes a heartbeat from where amqp-connection-manager would', () => {
    expect(own({ urls: ['amqp://a?heartbeat=30'] })).toEqual({ urls: ['amqp://a'], heartbeat: { timeoutSeconds: 30 } });
    expect(own({ urls: [{ heartbeat: 7 }] }).heartbeat).toEqual({ timeoutSeconds: 7 });
    expect(own({ socketOptions: { heartbeatIntervalInSeconds: 5 } }).heartbeat).toEqual({ timeoutSeconds: 5 });
    expect(own({ socketOptions: { heartbeatIntervalInSeconds: 0 } }).heartbeat).toBe(false);
  });

  it('tells TLS, limits, names and logins of amqplib apart', () => {
    const credentials = { mechanism: 'PLAIN', username: 'u', password: 'p:w', response: () => Buffer.alloc(0) };
    const socketOptions = {
      reconnectTimeInSeconds: 3,
      connectionOptions: {
        noDelay: false,
        timeout: 4_000,
        ca: 'CA',
        credentials,
        clientProperties: { connection_name: 'orders', team: 'shop' },
      },
    };
    expect(own({ urls: ['amqps://a'], socketOptions })).toEqual({
      urls: ['amqps://u:p%3Aw@a'],
      reconnect: { maxDelayMs: 3_000 },
      connectTimeoutMs: 4_000,
      tls: { ca: 'CA' },
      connectionName: 'orders',
      clientProperties: { team: 'shop' },
    });
  });

  it('asks findServers before every attempt', async () => {
    const { urls } = own({ socketOptions: { findServers: () => 'amqp://found' } });
    expect(await (urls as () => Promise<string[]>)()).toEqual(['amqp://found']);
  });

  it('lets its own options win', () => {
    const connectionOptions = { heartbeat: { timeoutSeconds: 20 }, startup: 'fail-fast' as const };
    const socketOptions = { heartbeatIntervalInSeconds: 5 };
    expect(ownConnectionOptions({ socketOptions, connectionOptions }, 'RmqServer')).toMatchObject(connectionOptions);
  });

  it('refuses a login that is no user and password', () => {
    const credentials = { mechanism: 'EXTERNAL', response: () => Buffer.alloc(0) };
    expect(() => own({ socketOptions: { connectionOptions: { credentials } } })).toThrow(/"EXTERNAL" is not supported/);
  });
});
