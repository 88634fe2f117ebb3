/** The part that both children share: their orders, their ledger, their end. */
import { Ledger } from './ledger.js';
import { machineTimeMs } from './machine-clock.js';
import type { Assignment, Command, Report } from './protocol.js';

export interface ChildProgram {
  readonly assignment: Assignment;
  readonly ledger: Ledger;
  readonly report: (report: Report) => void;
  readonly onCommand: (act: (command: Exclude<Command, { command: 'block' }>) => void) => void;
}

export function childProgram(): ChildProgram {
  const assignment = JSON.parse(process.argv[2] ?? '{}') as Assignment;
  const ledger = new Ledger(assignment.ledger);
  const report = (message: Report): void => {
    if (process.connected) process.send?.(message);
  };
  // The parent is gone, however it went: nobody reads on.
  process.once('disconnect', () => process.exit(1));
  // Looks on and changes nothing: what nobody catches ends the process, as it would end a user's.
  process.on('uncaughtExceptionMonitor', (error, origin) => {
    ledger.note({ what: 'crashed', at: machineTimeMs(), reason: `${origin}: ${error?.stack ?? String(error)}` });
  });
  process.on('message', (message: Command) => {
    if (message.command !== 'block') return;
    blockEventLoop(message.ms);
    report({ report: 'unblocked' });
  });
  return {
    assignment,
    ledger,
    report,
    onCommand: (act) =>
      void process.on('message', (message: Command) => {
        if (message.command !== 'block') act(message);
      }),
  };
}

function blockEventLoop(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}
