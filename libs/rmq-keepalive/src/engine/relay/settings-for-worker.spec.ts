import { once } from 'node:events';
import { devNull } from 'node:os';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from '@jest/globals';
import { settingsOfTheNetwork } from './settings-for-worker.js';

describe('what the heartbeat thread inherits', () => {
  it('is where the keys of TLS are logged', () => {
    const options = ['--tls-keylog=keys.log'];
    expect(settingsOfTheNetwork(options, { NODE_OPTIONS: ` ${options.join('  ')} ` })).toEqual({
      execArgv: options,
      env: { NODE_OPTIONS: options.join(' ') },
    });
  });

  it('is no module that is loaded beforehand, no debugger, nothing that threads are not allowed, and nothing that comes with a dial', () => {
    const execArgv = [
      '--import',
      './tracing.mjs',
      '--inspect-brk',
      '--use-openssl-ca',
      '--tls-cipher-list=A',
      '--use-system-ca',
      '--tls-min-v1.3',
      '--dns-result-order',
      'ipv4first',
      '--max-old-space-size=512',
      '--experimental-vm-modules',
    ];
    const env = { NODE_OPTIONS: '--require ./tracing.cjs --enable-source-maps --use-system-ca' };
    expect(settingsOfTheNetwork(execArgv, env)).toEqual({ execArgv: [], env: { NODE_OPTIONS: '' } });
  });

  it('is accepted by a thread', async () => {
    const options = [`--tls-keylog=${devNull}`];
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
