import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { Subscribe } from 'nestjs-rmq-keepalive';
import { handledMessages } from './handled-messages.js';
import { Mailer } from './mailer.js';

const WEEK_MS = 7 * 24 * 3_600_000;

@Injectable()
export class ConfirmationsConsumer {
  constructor(private readonly mailer: Mailer) {}

  // The name is part of what is remembered: it must not change when the class or the method does.
  @Subscribe({
    name: 'confirmations',
    queue: 'confirmations',
    deduplicate: {
      store: handledMessages,
      ttlMs: WEEK_MS, // longer than a message can spend in a queue or a dead-letter queue
      claimTtlMs: 3_000, // how long the messages of a process that died have to wait
    },
  })
  async onOrderPlaced(@Payload() order: { id: string }): Promise<void> {
    await this.mailer.confirm(order);
  }
}
