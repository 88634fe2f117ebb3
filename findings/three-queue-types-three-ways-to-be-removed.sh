#!/usr/bin/env bash
# queue.delete has two guards, if-unused and if-empty; x-expires removes a queue that nobody uses.
#
# Expected: a type that does not support one refuses it (406), and what a consumer has in hand protects its queue.
# Seen:     classic  if-empty counts what is ready: a queue whose messages are all in hand is deleted under its consumer.
#                    x-expires likewise, once that consumer is cancelled; declaring the queue again, also passively, renews it.
#           quorum   both guards end the whole connection (540). x-expires waits for what is in hand, and is not renewed by
#                    a declaration of either kind, which the documentation counts as use: only by basic.get and consumers.
#           stream   both guards are accepted and ignored: the stream is deleted with its messages and under its consumer.
#           A publisher is no use to any of them.
# Versions: RabbitMQ 3.10.8, 4.0.5, 4.3.6 (Debian 12, 13, testing); amqplib 2.3.1 (npm).
# Matters:  a clean-up job with "only if unused" deletes streams in use, and kills its own connection on the first quorum queue;
#           a lease that is renewed by declaring works until the queue becomes a quorum queue. Ask first (passive declare), then delete.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 3.10 4.0 4.3 <<'PROGRAM'
export default async ({ open, hasQueue, declare, send, collect, until, sleep, expect }) => {
  const channel = await open();
  const outcomeOf = async (queue, guard) => {
    const janitor = await open();
    const refused = await janitor.deleteQueue(queue, guard).then(
      () => false,
      () => true,
    );
    const outcome = `${(await hasQueue(queue)) ? 'kept' : 'deleted'}${refused ? `, ${janitor.errors[0].match(/\d{3}/)[0]}` : ''}`;
    const neighbour = await janitor.link.createChannel().catch(() => undefined);
    return neighbour === undefined ? `${outcome}, connection lost` : outcome;
  };

  const expected = {
    classic: { ifUnused: 'kept, 406', ifEmpty: 'deleted' },
    quorum: { ifUnused: 'kept, 540, connection lost', ifEmpty: 'kept, 540, connection lost' },
    stream: { ifUnused: 'deleted', ifEmpty: 'deleted' },
  };
  for (const [type, outcomes] of Object.entries(expected)) {
    for (const guard of Object.keys(outcomes)) {
      const queue = `${type} ${guard}`;
      await declare(channel, queue, type);
      const consumer = await open();
      await consumer.prefetch(5);
      const fromStart = type === 'stream' ? { arguments: { 'x-stream-offset': 'first' } } : {};
      const { got } = await collect(consumer, queue, fromStart);
      await send(channel, queue, ['in hand']);
      await until(() => got.length === 1);
      const outcome = await outcomeOf(queue, { [guard]: true });
      expect(`${type}, a consumer with a message in hand, ${guard}: ${outcome}`, outcome === outcomes[guard]);
      await consumer.link.close();
    }
  }

  const LEASE = { 'x-expires': 2_000 };
  const renewals = {
    publish: (queue) => send(channel, queue, ['x']),
    declare: (queue, type) => declare(channel, queue, type, LEASE),
    passive: (queue) => channel.checkQueue(queue),
    get: (queue) => channel.get(queue, { noAck: true }),
    'in hand': () => undefined,
  };
  const alive = { classic: 'declare, passive, get', quorum: 'get, in hand' };
  for (const type of Object.keys(alive)) {
    const names = Object.keys(renewals);
    for (const name of names) await declare(channel, `${type} ${name}`, type, LEASE);
    await send(channel, `${type} in hand`, ['x']);
    const holder = await open();
    const { consumerTag, got } = await collect(holder, `${type} in hand`);
    await until(() => got.length === 1);
    await holder.cancel(consumerTag);
    for (const start = Date.now(); Date.now() - start < 5_000; await sleep(200)) {
      for (const name of names) if (await hasQueue(`${type} ${name}`)) await renewals[name](`${type} ${name}`, type);
    }
    const left = [];
    for (const name of names) if (await hasQueue(`${type} ${name}`)) left.push(name);
    expect(`${type}, x-expires 2 s, after 5 s: kept by ${left.join(', ')}`, left.join(', ') === alive[type]);
  }
};
PROGRAM
