/**
 * What the worker inherits of the way this process was started: what concerns the network, and nothing else.
 *
 * Danger: a preloaded module (--import, --require: tracing, a debugger, a test runner) would run in the worker as well,
 * which has to start fast and to do one thing only.
 */
const OF_THE_NETWORK = /^--(?:dns-|tls-|(?:no-)?network-family-|use-(?:system|bundled|openssl)-ca)/;

/** Options for `new Worker`. */
export function settingsOfTheNetwork(
  execArgv: readonly string[],
  env: NodeJS.ProcessEnv,
): { execArgv: string[]; env: NodeJS.ProcessEnv } {
  const options = (env['NODE_OPTIONS'] ?? '').split(/\s+/).filter((option) => OF_THE_NETWORK.test(option));
  return {
    execArgv: execArgv.filter((option) => OF_THE_NETWORK.test(option)),
    env: { ...env, NODE_OPTIONS: options.join(' ') },
  };
}
