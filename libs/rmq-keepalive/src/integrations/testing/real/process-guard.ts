/**
 * Ends the processes of a broker when the process that started them is gone, however it went.
 *
 * Exit handlers cannot do this: they do not run on SIGKILL. So a small shell waits on a pipe from us. Whatever our end
 * (return, exception, signal, even kill -9), the system closes the pipe; the shell reads end of file, kills the pids it
 * was last told, by number and never by name, and removes the folder it was given. It has a session of its own, so that
 * Ctrl-C in the terminal reaches us and not it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';

const SCRIPT = `
trap '' HUP INT TERM
pids=
while read -r line; do
  [ "$line" = dismissed ] && exit 0
  pids=$line
done
for pid in $pids; do kill -s "$2" "$pid" 2>/dev/null; done
[ -n "$1" ] || exit 0
for attempt in 1 2 3 4 5; do
  rm -rf -- "$1" 2>/dev/null && exit 0
  sleep 0.2
done
`;

export class ProcessGuard {
  private readonly pids = new Set<number>();

  private constructor(
    private readonly shell: ChildProcess,
    private readonly orders: Socket,
    readonly signal: 'KILL' | 'QUIT',
  ) {}

  /**
   * @param doomedFolder removed when we are gone; leave it out to keep every file
   * @param signal what ends the processes, for those that have to give something back to the system first
   */
  static post(doomedFolder?: string, signal: 'KILL' | 'QUIT' = 'KILL'): ProcessGuard {
    const shell = spawn('/bin/sh', ['-c', SCRIPT, 'rmq-broker-guard', doomedFolder ?? '', signal], {
      cwd: '/',
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const orders = shell.stdin as Socket;
    orders.on('error', () => undefined);
    shell.on('error', () => undefined);
    // Neither the guard nor its pipe keeps our process running: its whole point is that we may end.
    shell.unref();
    orders.unref();
    return new ProcessGuard(shell, orders, signal);
  }

  get pid(): number | undefined {
    return this.shell.pid;
  }

  watch(pid: number): void {
    this.pids.add(pid);
    this.report();
  }

  forget(pid: number): void {
    this.pids.delete(pid);
    this.report();
  }

  /** Lets the guard go; from here on nothing is killed or removed. Resolves when it is gone. */
  async dismiss(): Promise<void> {
    if (this.shell.exitCode !== null || this.shell.signalCode !== null || this.shell.pid === undefined) return;
    this.shell.ref();
    const gone = new Promise((resolve) => this.shell.once('exit', resolve));
    this.orders.end('dismissed\n');
    await gone;
  }

  private report(): void {
    this.orders.write(`${[...this.pids].join(' ')}\n`);
  }
}
