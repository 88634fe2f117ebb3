/**
 * Hears a signal that comes while the application is draining because of an earlier one: whoever sends it does not want to wait.
 *
 * Danger: one Ctrl-C reaches a child of npm twice within milliseconds, from the terminal and from npm, and supervisors
 * that signal a whole process group do the same. Nest itself ignores every signal after the first.
 * Choice: only a signal that comes a second or more after the drain began is a second wish.
 */
const SAME_WISH_MS = 1_000;
/** What people and supervisors send to end a process; the signal that began the drain counts as well. */
const ENDING_SIGNALS: readonly string[] = ['SIGTERM', 'SIGINT'];

/** Calls `heard` once, on the first such signal from a second after now on. @returns the function that ends the listening */
export function onSecondSignal(first: string, heard: (signal: string) => void): () => void {
  const beganAt = performance.now();
  const signals = [...new Set([first, ...ENDING_SIGNALS])];
  const listener = (signal: string): void => {
    if (performance.now() - beganAt < SAME_WISH_MS) return;
    end();
    heard(signal);
  };
  const end = (): void => signals.forEach((signal) => process.off(signal, listener));
  for (const signal of signals) process.on(signal, listener);
  return end;
}
