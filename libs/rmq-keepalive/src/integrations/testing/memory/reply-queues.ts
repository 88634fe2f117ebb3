/** The broker's own reply queue (`amq.rabbitmq.reply-to`): an address for each channel that asks, and no queue behind it. */
import { randomBytes } from 'node:crypto';
import type { BrokerMessage } from './broker-message.js';

const NAME = 'amq.rabbitmq.reply-to';

export class ReplyQueues {
  readonly #readers = new Map<string, (message: BrokerMessage) => void>();

  isPseudoQueue(name: string | undefined): boolean {
    return name === NAME;
  }

  /** Whether somebody waits at this address. */
  has(address: string): boolean {
    return this.#readers.has(address);
  }

  open(reader: (message: BrokerMessage) => void): string {
    const address = `${NAME}.${randomBytes(24).toString('base64url')}`;
    this.#readers.set(address, reader);
    return address;
  }

  close(address: string): void {
    this.#readers.delete(address);
  }

  /** `undefined`: it is no reply. */
  take(message: BrokerMessage): { readonly isRouted: boolean; readonly isTaken: boolean } | undefined {
    const { exchange, routingKey } = message;
    if (exchange !== '' || !routingKey.startsWith(`${NAME}.`)) return undefined;
    const reader = this.#readers.get(routingKey);
    reader?.(message);
    return { isRouted: reader !== undefined, isTaken: true };
  }
}
