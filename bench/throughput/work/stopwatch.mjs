/**
 * What a stretch of work takes: time, CPU of the whole process, how busy its event loop is, and the memory it has in the end.
 * @returns a function that ends it
 */
export function stopwatch() {
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const loopBefore = performance.eventLoopUtilization();
  return () => {
    const { user, system } = process.cpuUsage(cpuBefore);
    const ms = performance.now() - startedAt;
    const { utilization } = performance.eventLoopUtilization(loopBefore);
    return { ms, cpuUs: user + system, loop: utilization, rssBytes: process.memoryUsage.rss() };
  };
}
