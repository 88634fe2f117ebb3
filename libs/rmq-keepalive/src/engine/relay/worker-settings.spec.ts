import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { settingsOfTheNetwork } from './worker-settings.js';

describe('what the heartbeat thread inherits', () => {
  it('is what concerns the network', () => {
    const options = ['--dns-result-order=ipv4first', '--tls-min-v1.3', '--no-network-family-autoselection'];
    expect(settingsOfTheNetwork(options, { NODE_OPTIONS: options.join('  ') })).toEqual({
      execArgv: options,
      env: { NODE_OPTIONS: options.join(' ') },
    });
  });

  it('is no module that is loaded beforehand, no debugger, and nothing that threads are not allowed', () => {
    const execArgv = [
      '--import',
      './tracing.mjs',
      '--inspect-brk',
      '--use-openssl-ca',
      '--tls-cipher-list=A',
      '--dns-result-order',
      'ipv4first',
      '--max-old-space-size=512',
      '--experimental-vm-modules',
    ];
    const env = { NODE_OPTIONS: '--require ./tracing.cjs --enable-source-maps' };
    expect(settingsOfTheNetwork(execArgv, env)).toEqual({ execArgv: [], env: { NODE_OPTIONS: '' } });
  });

  it('is accepted by a thread', async () => {
    const options = ['--dns-result-order=ipv4first', '--tls-max-v1.3', '--network-family-autoselection'];
    const worker = new Worker('0', {
      eval: true,
      ...settingsOfTheNetwork(options, { NODE_OPTIONS: options.join(' ') }),
    });
    expect(await once(worker, 'exit')).toEqual([0]);
  });

  it('is the rest of the environment, as it is', () => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '1', TMPDIR: '/var/tmp' };
    expect(settingsOfTheNetwork([], env).env).toEqual({ ...env, NODE_OPTIONS: '' });
  });
});
