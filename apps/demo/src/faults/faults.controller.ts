import { BadRequestException, Body, Controller, HttpCode, Post } from '@nestjs/common';
import { OutgoingSockets } from './outgoing-sockets.js';

const MAX_BLOCK_MS = 10 * 60_000;

/** Accidents on demand; served with DEMO_FAULTS=1 only. */
@Controller('faults')
export class FaultsController {
  constructor(private readonly sockets: OutgoingSockets) {}

  /** Does nothing but burn time, as a handler without an `await` would. Answers when it is over. */
  @Post('block-event-loop')
  @HttpCode(200)
  blockEventLoop(@Body('ms') ms: unknown): { blockedMs: number } {
    if (typeof ms !== 'number' || !(ms >= 0 && ms <= MAX_BLOCK_MS)) {
      throw new BadRequestException(`ms has to be a number from 0 to ${MAX_BLOCK_MS}`);
    }
    const startedAt = performance.now();
    while (performance.now() - startedAt < ms);
    return { blockedMs: Math.round(performance.now() - startedAt) };
  }

  /** Resets every TCP connection to the broker. */
  @Post('drop-connection')
  @HttpCode(200)
  dropConnection(): { dropped: number } {
    return { dropped: this.sockets.resetAll() };
  }
}
