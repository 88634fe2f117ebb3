/**
 * One consumer at a time: `exclusive`, where the broker refuses all others, and `singleActive`, where they stand by.
 *
 * Danger: quorum queues and streams consent to an exclusive consumer, and to a second one (3.10 to 4.3). And a queue that was
 * declared without a single active consumer serves whoever consumes from it. Both look well, and the order is gone.
 * Choice: what cannot work is refused at boot. Of a queue whose type nobody said the broker is asked; and a subscription with
 * `singleActive` consumes only from a queue that the broker has declared as that.
 */
import { OptionsError } from '../../errors/options-error.js';
import { shown } from '../../base/option-checks.js';
import type { Queue } from '../../topology/topology.js';
import type { WantedHandling } from './handling-options.js';

const SINGLE_ACTIVE = 'x-single-active-consumer';

interface Wish {
  readonly handling: Pick<WantedHandling, 'exclusive' | 'singleActive' | 'streamOffset'>;
  readonly isOwnQueue: boolean;
  readonly ifQueueMissing: 'declare' | 'wait';
}

/** Whether the queue is declared with a single active consumer, by the option or by its arguments. */
export function isSingleActive(queue: Queue): boolean {
  return argumentsOf(queue)[SINGLE_ACTIVE] === true;
}

/** Whether the broker may ignore that the consumer is exclusive, as far as is known. */
export function mayIgnoreExclusive(queue: Queue, isOwnQueue: boolean): boolean {
  return !isOwnQueue && argumentsOf(queue)['x-queue-type'] !== 'classic';
}

/** @returns the queue as it has to be declared. @throws {@link OptionsError} */
export function forOneConsumer(queue: Queue, wish: Wish, path: string): Queue {
  const { exclusive, singleActive } = wish.handling;
  const type = argumentsOf(queue)['x-queue-type'];
  if (exclusive && (type === 'quorum' || type === 'stream'))
    throw new OptionsError(
      `${path}.exclusive`,
      `a ${type} queue has no exclusive consumers: the broker consents, and to a second one as well`,
      type === 'quorum'
        ? 'Use singleActive: true, where the others stand by; it needs a queue that is declared with it'
        : 'Drop it: every reader of a stream gets all of it',
    );
  if (exclusive && (singleActive || isSingleActive(queue)))
    throw new OptionsError(
      `${path}.exclusive`,
      'a queue with a single active consumer refuses exclusive ones',
      'Use one of the two: singleActive lets the others stand by, exclusive refuses them',
    );
  if (!singleActive) return queue;
  refuseSingleActive(queue, wish, path);
  const { options } = queue;
  return { ...queue, options: { ...options, arguments: { ...argumentsOf(queue), [SINGLE_ACTIVE]: true } } };
}

function refuseSingleActive(queue: Queue, { isOwnQueue, ifQueueMissing, handling }: Wish, path: string): void {
  const given = argumentsOf(queue);
  if (given['x-queue-type'] === 'stream' || handling.streamOffset !== undefined)
    throw new OptionsError(
      `${path}.singleActive`,
      'a stream has none over AMQP 0-9-1: every reader gets all of it',
      'Drop it, or use a quorum queue',
    );
  if (isOwnQueue)
    throw new OptionsError(
      `${path}.singleActive`,
      'a server-named or exclusive queue is ours alone, and gone before anybody could take over',
      'Drop it, or use a queue with a name that is not exclusive',
    );
  if (ifQueueMissing === 'wait')
    throw new OptionsError(
      `${path}.singleActive`,
      "with ifQueueMissing: 'wait' the queue is declared by somebody else, and so is its single active consumer",
      "Use 'declare', or drop it: the broker keeps to what it was declared with",
    );
  if (given[SINGLE_ACTIVE] !== undefined && given[SINGLE_ACTIVE] !== true)
    throw new OptionsError(
      `${path}.singleActive`,
      `queueOptions.arguments say that ${SINGLE_ACTIVE} is ${shown(given[SINGLE_ACTIVE])}`,
      'Drop the argument',
    );
}

function argumentsOf({ options }: Queue): Record<string, unknown> {
  return (options.arguments ?? {}) as Record<string, unknown>;
}
