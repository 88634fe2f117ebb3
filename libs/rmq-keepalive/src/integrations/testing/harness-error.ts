/** Something that a test asked of the harness and cannot have; the message says why. */
export class HarnessError extends Error {
  override readonly name = 'HarnessError';
  readonly code = 'RMQ_TEST_HARNESS';
}
