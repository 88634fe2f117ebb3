/**
 * Sabotage: a consumer as one should not be written, in bare amqplib. The broker forgets a message as soon as it is sent
 * (`noAck`), and the handler gets to it a little later; what a killed process held is lost, and the run has to find that.
 */
import { connect } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ledger } from './ledger.js';
import { machineTimeMs } from './machine-clock.js';
import { type Assignment, EXCHANGE, QUEUES } from './protocol.js';

const HANDLER_MS = 50;
const REDIAL_MS = 200;

/** Resolves when it consumes for the first time. */
export async function consumeLossily(assignment: Assignment, ledger: Ledger): Promise<void> {
  const session = await dial(assignment.url);
  session.on('error', () => undefined);
  session.once('close', () => {
    void sleep(REDIAL_MS).then(() => consumeLossily(assignment, ledger));
  });
  const channel = await session.createChannel();
  channel.on('error', () => undefined);
  await channel.assertExchange(EXCHANGE, 'fanout');
  for (const queue of QUEUES) {
    await channel.assertQueue(queue);
    await channel.bindQueue(queue, EXCHANGE, '');
    const note = (body: Buffer): void => {
      const { id } = JSON.parse(body.toString()) as { id: number };
      ledger.note({ what: 'handled', id, at: machineTimeMs(), queue, copy: 'unannounced' });
    };
    await channel.consume(
      queue,
      (message) => {
        if (message !== null) void sleep(HANDLER_MS).then(() => note(message.content));
      },
      { noAck: true },
    );
  }
}

async function dial(url: string): ReturnType<typeof connect> {
  while (true) {
    try {
      return await connect(url, { noDelay: true });
    } catch {
      await sleep(REDIAL_MS);
    }
  }
}
