/** What is wrong before anything is dialled. */
import { RmqError } from './rmq-error.js';

/**
 * An option has a value that cannot work. Thrown before anything is dialled.
 *
 * ```ts
 * try {
 *   await publisher.publish('shop', 'order.created', order, { timeoutMs: -1 });
 * } catch (error) {
 *   if (error instanceof OptionsError) logger.error(`${error.option}: ${error.message}`);
 * }
 * ```
 */
export class OptionsError extends RmqError {
  constructor(
    readonly option: string,
    problem: string,
    wayOut: string,
  ) {
    super('RMQ_OPTIONS_INVALID', `${option}: ${problem}. ${wayOut}`);
  }
}
