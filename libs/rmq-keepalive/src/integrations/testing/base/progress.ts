/** Keeps a person informed, in plain sentences, while something slow goes on. */
export type ProgressListener = (sentence: string) => void;

const REMINDER_EVERY_MS = 2_000;

/** Says `sentence` once, then again with the time spent so far, until `work` has settled. */
export async function narrate<T>(
  onProgress: ProgressListener | undefined,
  sentence: string,
  work: () => Promise<T>,
): Promise<T> {
  if (!onProgress) return work();
  onProgress(sentence);
  const startedAt = performance.now();
  const reminder = setInterval(() => {
    onProgress(`${sentence} (${Math.round((performance.now() - startedAt) / 1_000)} s so far)`);
  }, REMINDER_EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(reminder);
  }
}
