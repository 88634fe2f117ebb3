import { Logger, Module, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { RmqKeepaliveModule } from 'nestjs-rmq-keepalive';
import { ConfirmationsConsumer } from './confirmations.consumer.js';
import { handledMessages, pool } from './handled-messages.js';
import { Mailer } from './mailer.js';

const CLEAN_UP_EVERY_MS = 3_600_000;

@Module({
  imports: [
    RmqKeepaliveModule.forRootAsync({
      useFactory: () => ({ urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(',') }),
    }),
  ],
  providers: [Mailer, ConfirmationsConsumer],
})
export class ConfirmationsModule implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger(ConfirmationsModule.name);
  private cleanUp: NodeJS.Timeout | undefined;

  onApplicationBootstrap(): void {
    // An idle connection that ends says so here; without a listener that would end the process.
    pool.on('error', (error) => this.logger.warn(`A database connection was lost: ${error.message}`));
    this.cleanUp = setInterval(() => {
      handledMessages.forgetExpired().catch((error: Error) => this.logger.warn(`Not cleaned up: ${error.message}`));
    }, CLEAN_UP_EVERY_MS);
  }

  /** After the consumers have drained: what they handled last is still to be remembered. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.cleanUp);
    await pool.end();
  }
}
