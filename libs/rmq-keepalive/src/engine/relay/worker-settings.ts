/**
 * What the worker inherits of the way this process was started: what concerns the network, and nothing else.
 *
 * Danger: a preloaded module (--import, --require: tracing, a debugger, a test runner) would run in the worker as well,
 * which has to start fast and to do one thing only.
 */
const OF_THE_NETWORK = new RegExp(
  [
    '^--dns-result-order=.',
    '^--tls-keylog=.',
    '^--tls-(?:min|max)-v',
    '^--(?:no-)?network-family-autoselection$',
    '^--network-family-autoselection-attempt-timeout=.',
    // The rest (--tls-cipher-list, --use-openssl-ca ...) belongs to the process, and a thread that is told it does not start.
  ].join('|'),
);

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
