/**
 * PostgreSQL refuses to run as root, and tests in a container often do. Then it runs as `nobody`, with one of root's
 * capabilities left: to pass the permissions of folders such as `/root`, under which its files may be.
 */
import { findCommand } from '#testing/base/run-command.js';
import { DatabaseUnavailableError } from './obtain-postgres.js';

const NOBODY = 65_534;

/** The command as it is, or for root the command that runs it as somebody else. The process id stays the command's own. */
export async function asNobodyIfRoot(command: readonly string[]): Promise<readonly string[]> {
  if (process.getuid?.() !== 0) return command;
  const setpriv = await findCommand('setpriv');
  if (setpriv === undefined)
    throw new DatabaseUnavailableError('it refuses to run as root, and setpriv (package util-linux) is not here');
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const capability = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override'];
  return [setpriv, ...user, ...capability, '--', ...command];
}
