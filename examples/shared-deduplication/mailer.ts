import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';

/** An effect that no database can take back. */
@Injectable()
export class Mailer {
  async confirm(order: { id: string }): Promise<void> {
    await sleep(50); // as long as a mail server takes to answer
    console.log(`mailed ${order.id}`);
  }
}
