#!/usr/bin/env bash
# A queue with `x-max-length` drops its oldest messages when it is full. It is read as: the backlog is bounded, and what a
# consumer has in hand is safe until it is acked.
#
# Expected: what is in hand counts towards the limit; or, when it comes back to a full queue, something else makes room.
# Seen:     it does not count, so the queue takes as many again while it is out. When the consumer dies, or gives it back
#           (nack, requeue), it is the oldest and is dropped at once: a crash loses exactly what was being handled, although
#           all was confirmed and nothing acked. With reject-publish nothing is lost, and the queue exceeds its limit.
#           A quorum queue of 3.10 puts what is given back at its end, and so drops another one; it and 4.0 write the dead
#           letters of a consumer that died in reverse order.
# Versions: RabbitMQ 3.10.8, 4.0.5, 4.3.6 (Debian 12, 13, testing); amqplib 2.3.1 (npm).
# Matters:  "at least once" does not hold on a full queue with drop-head, the default overflow: every deployment that gives
#           messages back at shutdown loses them. Bound such a queue by reject-publish, or give it a dead-letter exchange.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 3.10 4.0 4.3 <<'PROGRAM'
export default async ({ version, open, declare, send, drain, collect, sleep, see, expect }) => {
  const channel = await open();
  await declare(channel, 'dropped', 'classic');
  const toDropped = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dropped' };

  for (const type of ['classic', 'quorum']) {
    await declare(channel, type, type, { 'x-max-length': 3, ...toDropped });
    await send(channel, type, ['m1', 'm2', 'm3']);
    const consumer = await open();
    const { consumerTag, texts } = await collect(consumer, type);
    await sleep(500);
    await consumer.cancel(consumerTag);
    const outcomes = await send(channel, type, ['m4', 'm5', 'm6']);
    see(`${type}, limit 3: in hand ${texts().join(' ')}; m4 m5 m6 sent: ${outcomes}`);
    expect('nothing was dropped for them', (await channel.checkQueue('dropped')).messageCount === 0);
    await consumer.link.close();
    await sleep(700);
    const [left, dropped] = [await drain(channel, type), await drain(channel, 'dropped')];
    see(`the consumer's connection ended; left ${left.join(' ')}; dropped ${dropped.join(' ')}`);
    const reversed = type === 'quorum' && version !== '4.3';
    expect('what was in hand is dropped', `${left}` === 'm4,m5,m6' && `${dropped}` === (reversed ? 'm3,m2,m1' : 'm1,m2,m3'));

    await send(channel, type, ['n1', 'n2', 'n3']);
    const givenBack = await channel.get(type);
    await send(channel, type, ['n4']);
    channel.nack(givenBack, false, true);
    await sleep(500);
    const atTheEnd = type === 'quorum' && version === '3.10';
    const gone = await drain(channel, 'dropped');
    expect(`${type}: n1 was given back to a full queue, ${gone} is dropped`, `${gone}` === (atTheEnd ? 'n2' : 'n1'));
    await channel.deleteQueue(type);
  }

  await declare(channel, 'rejecting', 'classic', { 'x-max-length': 3, 'x-overflow': 'reject-publish' });
  await send(channel, 'rejecting', ['m1', 'm2', 'm3']);
  const consumer = await open();
  const { consumerTag } = await collect(consumer, 'rejecting');
  await sleep(500);
  await consumer.cancel(consumerTag);
  await send(channel, 'rejecting', ['m4', 'm5', 'm6']);
  await consumer.link.close();
  await sleep(500);
  const { messageCount } = await channel.checkQueue('rejecting');
  expect(`reject-publish: all ${messageCount} are there, with a limit of 3`, messageCount === 6);
};
PROGRAM
