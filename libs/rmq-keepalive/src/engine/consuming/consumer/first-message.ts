/**
 * Waits until a consumer has been sent its first message: one that ends the link has done so by then.
 *
 * Choice: the queue is asked how many messages it has, on the consumer's own channel. A classic queue sends the first one
 * before it answers that. A quorum queue may answer first, so if it has messages and none has come, one is waited for; not
 * for long, since all of them may be another consumer's.
 */
import type { Channel } from 'amqplib';
import type { Clock, Timer } from '../../base/clock.js';

const MESSAGE_WAIT_MS = 250;

/** A consumer that was just attached. */
interface NewConsumer {
  readonly channel: Channel;
  readonly queueName: string;
  readonly isLive: boolean;
  readonly hasHeard: boolean;
  /** Resolves when a message has come, or the channel is gone. */
  heard(): Promise<void>;
}

/** Resolves as well when the channel ends first: that is told by itself. */
export async function firstMessage(consumer: NewConsumer, clock: Clock): Promise<void> {
  const ready = await consumer.channel.checkQueue(consumer.queueName).then(
    ({ messageCount }) => messageCount,
    () => 0,
  );
  if (ready === 0 || consumer.hasHeard || !consumer.isLive) return;
  let timer: Timer | undefined;
  const isOver = new Promise<void>((resolve) => (timer = clock.setTimer(resolve, MESSAGE_WAIT_MS)));
  await Promise.race([consumer.heard(), isOver]);
  timer?.cancel();
}
