import { createHook } from 'node:async_hooks';
import { describe, expect, it } from '@jest/globals';
import { until } from '../../../../../test/support/until.js';
import { RelayThread } from './relay-thread.js';

// A thread that ends or dies: test/faults/f31.
describe('a heartbeat thread that may not be started', () => {
  it('leaves no open port behind, however often it is tried', async () => {
    const openPorts = new Set<number>();
    const hook = createHook({
      init: (id, type) => void (type === 'MESSAGEPORT' && openPorts.add(id)),
      destroy: (id) => void openPorts.delete(id),
    }).enable();
    try {
      // What Node refuses at once, as it does a thread without --allow-worker.
      const start = (): unknown => new RelayThread(new URL('https://example.test/worker.js'));
      for (let attempt = 0; attempt < 3; attempt++)
        expect(start).toThrow(expect.objectContaining({ code: 'ERR_INVALID_URL_SCHEME' }));
      expect(openPorts.size).toBe(6);
      await until('they are closed', () => openPorts.size === 0);
    } finally {
      hook.disable();
    }
  });
});
