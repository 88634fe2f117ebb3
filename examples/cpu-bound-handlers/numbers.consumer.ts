import { Injectable, Logger } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Delivery, RmqPublisher, Subscribe } from 'nestjs-rmq-keepalive';
import { IN_HAND, WorkPool } from './work-pool.js';

@Injectable()
export class NumbersConsumer {
  private readonly logger = new Logger(NumbersConsumer.name);

  constructor(
    private readonly pool: WorkPool,
    private readonly publisher: RmqPublisher,
  ) {}

  @Subscribe({ queue: 'numbers', prefetch: IN_HAND, handlerTimeoutMs: 10 * 60_000 })
  async onNumber(@Payload() job: { id: string; below: number }, @Ctx() { signal }: Delivery): Promise<void> {
    signal.addEventListener('abort', () => this.logger.warn(`${job.id} is cancelled: ${reasonOf(signal)}`));
    const primes = await this.pool.countPrimes({ below: job.below }, signal);
    // Acked only after this confirm: the result is never in nobody's hands. It may go out twice, under the same id.
    await this.publisher.sendToQueue('counted', { id: job.id, primes }, { messageId: `${job.id}:counted` });
  }
}

function reasonOf({ reason }: AbortSignal): string {
  return reason instanceof Error ? reason.message : String(reason);
}
