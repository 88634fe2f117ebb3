/**
 * Runs in the main thread.
 *
 * The worker inherits two things of the way this process was started: the environment, and where the keys of TLS are
 * logged. All other settings of the network come with every dial (network-defaults.js).
 *
 * Danger: a preloaded module (--import, --require: tracing, a debugger, a test runner) would run in the worker as well,
 * which has to start fast and to do one thing only. And a thread that is given an option of the process (--tls-cipher-list,
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
