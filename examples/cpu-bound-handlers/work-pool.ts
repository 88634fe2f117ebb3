/** The threads of this service, and how many of them there are. Ends with the application, behind its consumers. */
import { availableParallelism } from 'node:os';
import { Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Piscina } from 'piscina';
import type { CountPrimes } from './count-primes.task.js';

/** One core is left to the event loop. */
export const THREADS = Math.max(1, availableParallelism() - 1);
/** One message for each thread to work on, and one that is there when it has done. The rest waits in RabbitMQ. */
export const IN_HAND = 2 * THREADS;

@Injectable()
export class WorkPool implements OnApplicationShutdown {
  private readonly pool = new Piscina({
    filename: new URL('./count-primes.task.js', import.meta.url).href,
    maxThreads: THREADS,
    maxQueue: IN_HAND,
    idleTimeout: 30_000, // a thread costs some 10 MB, and about 50 ms to start
  });

  /** @throws AbortError when `signal` aborts: what waits is dropped, a thread that computes is ended, and another replaces it */
  async countPrimes(job: CountPrimes, signal: AbortSignal): Promise<number> {
    return (await this.pool.run(job, { signal })) as number;
  }

  /** Nest calls it when the consumers have drained: nobody waits for the threads any more. */
  async onApplicationShutdown(): Promise<void> {
    await this.pool.destroy();
  }
}
