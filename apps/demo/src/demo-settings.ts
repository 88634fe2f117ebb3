/** What the environment says, checked before anything starts. */
export interface DemoSettings {
  readonly port: number;
  /** Broker addresses from RMQ_URLS; empty if it is not set. */
  readonly urls: readonly string[];
  readonly heartbeatSeconds: number | undefined;
  readonly hasFaults: boolean;
  readonly heartbeatThread: 'main' | 'worker';
}

/** A setting that cannot work; its message is for the person who started the demo. */
export class SettingError extends Error {
  override readonly name = 'SettingError';
}

export function readSettings(env: NodeJS.ProcessEnv): DemoSettings {
  return {
    port: readInteger(env, 'PORT', { max: 65_535 }) ?? 3000,
    urls: (env['RMQ_URLS'] ?? '')
      .split(',')
      .map((url) => url.trim())
      .filter((url) => url !== ''),
    heartbeatSeconds: readInteger(env, 'RMQ_HEARTBEAT_SECONDS', { max: 65_535 }),
    hasFaults: env['DEMO_FAULTS'] === '1',
    heartbeatThread: readThread(env['RMQ_HEARTBEAT_THREAD']),
  };
}

function readInteger(env: NodeJS.ProcessEnv, name: string, range: { max: number }): number | undefined {
  const text = env[name]?.trim();
  if (text === undefined || text === '') return undefined;
  if (/^\d+$/.test(text) && Number(text) <= range.max) return Number(text);
  throw new SettingError(`${name} has to be a whole number from 0 to ${range.max}.`);
}

function readThread(thread: string | undefined): 'main' | 'worker' {
  if (thread === undefined || thread === '') return 'main';
  if (thread === 'main' || thread === 'worker') return thread;
  throw new SettingError('RMQ_HEARTBEAT_THREAD has to be "main" or "worker".');
}
