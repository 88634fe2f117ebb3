/** Runs one command to its end and returns what it printed, or an error that repeats what it complained about. */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

interface CommandOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Text for the command's standard input. @default none: it reads end of file at once */
  input?: string;
  /** Milliseconds after which the command is killed and the call rejects. @default 120000 */
  timeoutMs?: number;
}

class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    readonly command: string,
    readonly ending: string,
    readonly stdout: string,
    readonly stderr: string,
  ) {
    super(`${command} ${ending}: ${lastLines(stderr || stdout) || 'it printed nothing'}`);
  }
}

export function runCommand(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const { cwd, env, input, timeoutMs = 120_000 } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd, env, stdio: 'pipe', timeout: timeoutMs, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // A command may end without reading its input; the broken pipe is then no news of its own.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.once('error', (error) => reject(new CommandError(file, `could not be started (${error.message})`, '', '')));
    child.once('close', (exitCode, signal) => {
      if (exitCode === 0) return resolve(stdout);
      const ending = signal ? `was ended by ${signal}` : `ended with exit code ${exitCode}`;
      reject(new CommandError(file, ending, stdout, stderr));
    });
  });
}

/** The full path of a command as the shell would find it, or undefined. */
export async function findCommand(name: string): Promise<string | undefined> {
  const folders = (process.env['PATH'] ?? '').split(delimiter).concat('/usr/sbin', '/sbin');
  for (const folder of folders) {
    const candidate = join(folder, name);
    if (await isExecutable(candidate)) return candidate;
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-4).join(' / ');
}
