import { execFile } from 'node:child_process';
import dns from 'node:dns';
import net from 'node:net';
import nodeTls from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from '@jest/globals';
import { adoptDefaults, DefaultsForThread } from './network-defaults.js';

const run = promisify(execFile);
/** From Node 22.19 and 24.5 on. */
const store = nodeTls as unknown as {
  getCACertificates(kind: 'default'): string[];
  setDefaultCACertificates?(certificates: readonly string[]): void;
};
const canBeSet = store.setDefaultCACertificates !== undefined;
const [AUTHORITY] = nodeTls.rootCertificates as [string];

const ofTheProcess = new DefaultsForThread().forDial(null);
const trustedByTheProcess = canBeSet ? store.getCACertificates('default') : [];

// How Node heeds them in the other thread: test/engine/relay-defaults.
describe('the defaults of a dial', () => {
  afterEach(() => {
    adoptDefaults(ofTheProcess);
    if (store.getCACertificates?.('default') !== trustedByTheProcess)
      store.setDefaultCACertificates?.(trustedByTheProcess);
  });

  it('are those of the moment', () => {
    const defaults = new DefaultsForThread();
    dns.setDefaultResultOrder('ipv4first');
    net.setDefaultAutoSelectFamily(false);
    net.setDefaultAutoSelectFamilyAttemptTimeout(1_234);
    nodeTls.DEFAULT_MIN_VERSION = 'TLSv1.3';
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '1';
    expect(defaults.forDial(null)).toMatchObject({
      resultOrder: 'ipv4first',
      autoSelectFamily: false,
      autoSelectFamilyAttemptTimeoutMs: 1_234,
      minVersion: 'TLSv1.3',
      rejectUnauthorized: '1',
    });
    dns.setDefaultResultOrder('verbatim');
    delete process.env['NODE_TLS_REJECT_UNAUTHORIZED'];
    expect(defaults.forDial(null)).toMatchObject({ resultOrder: 'verbatim', rejectUnauthorized: undefined });
  });

  it('are what the other thread then has', () => {
    const wanted = {
      resultOrder: 'ipv4first',
      autoSelectFamily: false,
      autoSelectFamilyAttemptTimeoutMs: 1_234,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384',
      ecdhCurve: 'P-384',
      rejectUnauthorized: '1',
      newlyTrusted: null,
    } as const;
    adoptDefaults(wanted);
    expect(new DefaultsForThread().forDial(null)).toEqual(wanted);
  });

  (canBeSet ? describe : describe.skip)('name the trusted certificates', () => {
    it('when they are others than the thread has by itself, and once', () => {
      const defaults = new DefaultsForThread();
      store.setDefaultCACertificates?.([AUTHORITY]);
      expect(defaults.forDial({}).newlyTrusted).toHaveLength(1);
      expect(defaults.forDial({}).newlyTrusted).toBeNull();
      // Another thread was told nothing yet.
      expect(new DefaultsForThread().forDial({}).newlyTrusted).toHaveLength(1);
    });

    it('again when they are set anew, be it to what the thread began with', () => {
      const defaults = new DefaultsForThread();
      store.setDefaultCACertificates?.([AUTHORITY]);
      defaults.forDial({});
      store.setDefaultCACertificates?.(trustedByTheProcess);
      expect(defaults.forDial({}).newlyTrusted).toEqual(store.getCACertificates('default'));
    });

    it('only for TLS without `ca`, which would go before them', () => {
      const defaults = new DefaultsForThread();
      store.setDefaultCACertificates?.([AUTHORITY]);
      expect(defaults.forDial(null).newlyTrusted).toBeNull();
      expect(defaults.forDial({ ca: AUTHORITY }).newlyTrusted).toBeNull();
      expect(defaults.forDial({ ca: null as never }).newlyTrusted).toHaveLength(1);
    });

    it('not where nobody has set them', async () => {
      const program = `
        import { DefaultsForThread } from ${JSON.stringify(new URL('network-defaults.js', import.meta.url))};
        console.log(new DefaultsForThread().forDial({}).newlyTrusted);`;
      const env = { ...process.env, NODE_OPTIONS: '' };
      const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program], { env });
      expect(stdout).toBe('null\n');
    });
  });
});
