/**
 * What the worker inherits of the way this process was started: the environment, and where it logs the keys of TLS. What
 * else concerns the network comes with every dial (network-defaults.js).
 *
 * Danger: a preloaded module (--import, --require: tracing, a debugger, a test runner) would run in the worker as well,
 * which has to start fast and to do one thing only. And a thread that is told an option of the process (--tls-cipher-list,
 * --use-openssl-ca ...) does not start.
 */
const KEYLOG = /^--tls-keylog=./;

/** Options for `new Worker`. */
export function settingsOfTheNetwork(
  execArgv: readonly string[],
  env: NodeJS.ProcessEnv,
): { execArgv: string[]; env: NodeJS.ProcessEnv } {
  const options = (env['NODE_OPTIONS'] ?? '').split(/\s+/).filter((option) => KEYLOG.test(option));
  return {
    execArgv: execArgv.filter((option) => KEYLOG.test(option)),
    env: { ...env, NODE_OPTIONS: options.join(' ') },
  };
}
