/** Opens a link that nothing else is on, for as long as one question takes: the broker may close it over that question. */
import type { Clock } from '../base/clock.js';
import { ConnectionClosedError } from '../errors/connection-errors.js';
import type { AmqpLink } from '../link/amqp-link.js';
import type { ChannelBudget } from '../link/channel-budget.js';
import type { Dial } from '../dialling/dialling.js';
import type { Link } from '../link/link.js';
import { Dialler } from './dialler.js';
import type { LinkRole } from '../reporting/lifecycle.js';

interface OwnLinkOptions {
  readonly role: LinkRole;
  readonly clock: Clock;
  readonly channels: ChannelBudget;
  /** Asked once. @param abandoned settles when nobody waits for the answer any more */
  dial(abandoned: Promise<void>): Promise<Dial>;
  /** Of all of it, in milliseconds. */
  readonly limitMs: number;
  /** Ends the link at once, and the wait for it. */
  readonly signal: AbortSignal;
}

const CLOSE_MS = 1_000;

/** @throws why it could not be dialled, or was lost; {@link ConnectionClosedError} when `signal` fires, or the time is over */
export async function onOwnLink<T>(options: OwnLinkOptions, work: (link: Link) => Promise<T>): Promise<T> {
  const { clock, signal, limitMs } = options;
  const ending = new AbortController();
  const abandoned = new Promise<void>((resolve) => {
    ending.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const end = (): void => ending.abort();
  if (signal.aborted) end();
  signal.addEventListener('abort', end, { once: true });
  const limit = clock.setTimer(end, limitMs);
  try {
    return await untilAborted(options, () => options.dial(abandoned), ending.signal, work);
  } finally {
    limit.cancel();
    signal.removeEventListener('abort', end);
    end();
  }
}

async function untilAborted<T>(
  { role, clock, channels }: OwnLinkOptions,
  dial: () => Promise<Dial>,
  signal: AbortSignal,
  work: (link: Link) => Promise<T>,
): Promise<T> {
  let isDialled = false;
  let dialler: Dialler | undefined;
  let endWaiting = (): void => undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      const aborted = (): void => reject(new ConnectionClosedError());
      if (signal.aborted) return aborted();
      signal.addEventListener('abort', aborted, { once: true });
      endWaiting = () => signal.removeEventListener('abort', aborted);
      dialler = new Dialler(role, clock, channels, {
        nextDial: () => {
          // One attempt only; the manager is stopped while it waits for another.
          if (isDialled) return new Promise<never>(() => undefined);
          isDialled = true;
          return dial();
        },
        up: (link: AmqpLink) => void work(link).then(resolve, reject),
        attemptFailed: reject,
        lost: (_, cause) => reject(cause),
        blocked: () => undefined,
        unblocked: () => undefined,
      });
    });
  } finally {
    endWaiting();
    await dialler?.close(signal.aborted ? 0 : CLOSE_MS);
  }
}
