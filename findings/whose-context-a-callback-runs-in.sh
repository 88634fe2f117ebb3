#!/usr/bin/env bash
# AsyncLocalStorage (nestjs-cls, tracing, a logger's request id) is expected to lead from the place where a callback was given
# to the callback: `consume(queue, handler)` in one context, `sendToQueue(..., confirmed)` in another.
#
# Expected: a handler runs in the context that called consume(), a confirm's callback in that of its publish; and a handler that
#           calls enterWith() changes its own context only, as in a request of node:http.
# Seen:     neither. Every callback of amqplib runs in the context in which the *socket* was dialled: the request that needed
#           the connection first is the parent of every later delivery and of every confirm. And a handler's enterWith() stays
#           in force for all frames of the same read: the next message is handled, and a confirm is told, in the context of the
#           handler before it. Only what is awaited (waitForConfirms) comes back where it was called.
# Versions: amqplib 2.3.1 (npm) on the machine's Node.js (20.20 when written; 24.22 does the same); RabbitMQ 4.0.5 (Debian 13).
# Matters:  one user's identity is read by the handler of another user's message. Dial outside of any request, and give each
#           delivery an AsyncResource of its own: `new AsyncResource('delivery').runInAsyncScope(handler, null, message)`.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.0 <<'PROGRAM'
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { createRequire } from 'node:module';
const amqp = createRequire(import.meta.url)('amqplib');

export default async ({ broker, vhost, until, see, expect }) => {
  const storage = new AsyncLocalStorage();
  const url = `amqp://guest:guest@127.0.0.1:${broker.port}/${encodeURIComponent(vhost)}`;
  const link = await storage.run('dial', () => amqp.connect(url));
  const channel = await storage.run('open', () => link.createConfirmChannel());
  const enters = async (queue, begin) => {
    await channel.assertQueue(queue);
    for (const text of ['m1', 'm2', 'm3']) channel.sendToQueue(queue, Buffer.from(text));
    await channel.waitForConfirms();
    const contexts = [];
    const handler = (message) => {
      contexts.push(storage.getStore());
      storage.enterWith(`handler of ${message.content}`);
      channel.ack(message);
    };
    await storage.run('consume', () => channel.consume(queue, (message) => begin(handler, message)));
    await until(() => contexts.length === 3);
    return contexts;
  };

  const plain = await enters('plain', (handler, message) => handler(message));
  see(`handlers ran in: ${plain.join(', ')}`);
  expect('the first in the context of the dial, not of consume()', plain[0] === 'dial');
  expect('each next one in that of the handler before it', `${plain.slice(1)}` === 'handler of m1,handler of m2');

  const own = await enters('own', (handler, message) => new AsyncResource('delivery').runInAsyncScope(handler, null, message));
  expect('with a resource of its own each is in that of the dial', `${own}` === 'dial,dial,dial');

  let confirmedIn;
  storage.run('publish', () => channel.sendToQueue('nobody', Buffer.from('m'), {}, () => (confirmedIn = storage.getStore())));
  const awaitedIn = await storage.run('waiter', async () => {
    await channel.waitForConfirms();
    return storage.getStore();
  });
  expect(`a confirm is told in the context of the dial: ${confirmedIn}`, confirmedIn === 'dial');
  expect(`what is awaited comes back where it was called: ${awaitedIn}`, awaitedIn === 'waiter');
  await link.close();
};
PROGRAM
