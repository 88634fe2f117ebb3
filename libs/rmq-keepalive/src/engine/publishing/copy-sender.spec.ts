import { describe, expect, it } from '@jest/globals';
import { type PublishAddress, PublishNackedError, PublishRefusedError } from '../errors/publish-errors.js';
import { CopySender } from './copy-sender.js';
import type { OutgoingMessage } from './rmq-publisher.js';

const ADDRESS: PublishAddress = { exchange: '', routingKey: 'orders.dead', messageId: 'm1' };
const MESSAGE = {} as OutgoingMessage;
const refusedByBroker = new PublishRefusedError(ADDRESS, Object.assign(new Error('403'), { code: 403 }));

function copies() {
  const way: string[] = [];
  const fails: { with: Error | undefined } = { with: undefined };
  const own = { isOpen: true, lacksChannel: () => undefined as void };
  const senderNamed = (name: string) => ({
    send: async () => {
      way.push(name);
      if (fails.with !== undefined) throw fails.with;
    },
  });
  const copies = new CopySender(senderNamed('shared'), (lacksChannel) => {
    own.lacksChannel = lacksChannel;
    return { sender: senderNamed('own'), channel: own };
  });
  return {
    way,
    own,
    async send(error?: Error): Promise<void> {
      fails.with = error;
      if (error === undefined) await copies.send(MESSAGE);
      else await expect(copies.send(MESSAGE)).rejects.toBe(error);
    },
  };
}

describe('our own copies', () => {
  it.each<[string, Error | undefined]>([
    ['well', undefined],
    ['with a nack', new PublishNackedError(ADDRESS)],
    ['because AMQP cannot carry them', new PublishRefusedError(ADDRESS, new TypeError('no'), 'AMQP')],
  ])('share the channel of the publisher as long as they end %s', async (_, error) => {
    const { send, way } = copies();
    await send(error);
    await send();
    expect(way).toEqual(['shared', 'shared']);
  });

  it('have a channel of their own from the first one on that the broker refuses', async () => {
    const { send, way } = copies();
    await send(refusedByBroker);
    await send(refusedByBroker);
    await send();
    expect(way).toEqual(['shared', 'own', 'own']);
  });

  it('share again while there is no channel for them', async () => {
    const { send, way, own } = copies();
    await send(refusedByBroker);
    own.isOpen = false;
    own.lacksChannel();
    await send();
    own.isOpen = true;
    await send();
    expect(way).toEqual(['shared', 'shared', 'own']);
  });
});
