/** Runs in the main thread. */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { OptionsError } from '../errors/options-error.js';

/**
 * Certificates and keys can be handed to another thread; functions and secure contexts cannot.
 * @throws {@link OptionsError} naming the first that cannot
 */
export function checkThatTlsCanGo(tls: TlsOptions | null): void {
  for (const [option, value] of Object.entries(tls ?? {})) {
    try {
      structuredClone(value);
    } catch {
      throw new OptionsError(
        `tls.${option}`,
        'it cannot be handed to the heartbeat thread, as functions and secure contexts cannot',
        "Give certificates and keys as text or buffers and leave it out, or use heartbeat.thread: 'main'",
      );
    }
  }
}
