/** One clock for all processes of this machine: monotonic, and with the same origin for each of them. */

/** Milliseconds since the machine was started. */
export function machineTimeMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
