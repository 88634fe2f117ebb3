#!/usr/bin/env bash
# A consumer gives a message back (basic.nack with requeue). Where in its queue does it come again, and do priorities count then?
#
# Expected: at its old place, as the protocol guide says, whatever the type of the queue; among others by its priority; and
#           a message without a priority is the least urgent one.
# Seen:     a classic queue puts it at its old place. A quorum queue puts several in the order in which they came back: at the
#           end of the queue on 3.10, at its front on 4.x. There they also go before every message that is more urgent.
#           And on a quorum queue of 4.3 no priority means 4: a message with priority 1 to 3 comes after those that have none.
#           On a classic queue it comes before them; a quorum queue of 4.0 (two classes: 0 to 4, 5 and more) leaves them as sent.
# Versions: RabbitMQ 3.10.8, 4.0.5, 4.3.6 (Debian 12, 13, testing); amqplib 2.3.1 (npm).
# Matters:  a queue that becomes a quorum queue changes the order of retries, and an upgrade to 4.3 turns "a little more urgent"
#           into "last". Number priorities from 5 up, or give every message one.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 3.10 4.0 4.3 <<'PROGRAM'
export default async ({ version, open, declare, send, drain, sleep, see, expect }) => {
  const channel = await open();
  const orders = {
    classic: 'm1 m2 m3 m4 m5 m6',
    quorum: version === '3.10' ? 'm5 m6 m4 m1 m3 m2' : 'm4 m1 m3 m2 m5 m6',
  };
  for (const [type, order] of Object.entries(orders)) {
    await declare(channel, type, type);
    await send(channel, type, ['m1', 'm2', 'm3', 'm4', 'm5', 'm6']);
    const [m1, m2, m3, m4] = [0, 0, 0, 0].map(() => channel.get(type));
    for (const message of [m4, m1, m3, m2]) {
      channel.nack(await message, false, true);
      await sleep(100);
    }
    await sleep(300);
    const found = (await drain(channel, type)).join(' ');
    expect(`${type}: m4, m1, m3, m2 came back in this order; delivered: ${found}`, found === order);
  }

  if (version === '3.10') see('(its quorum queues know no priorities)');
  const urgency = { classic: 'high low', quorum: 'low high' };
  for (const [type, order] of Object.entries(urgency)) {
    const queue = `${type} with priorities`;
    await declare(channel, queue, type, type === 'classic' ? { 'x-max-priority': 9 } : {});
    await send(channel, queue, ['low'], { priority: 1 });
    channel.nack(await channel.get(queue), false, true);
    await sleep(300);
    await send(channel, queue, ['high'], { priority: 9 });
    const found = (await drain(channel, queue)).join(' ');
    expect(`${type}: "low" came back, then "high" was sent; delivered: ${found}`, found === order);

    await send(channel, queue, ['one'], { priority: 1 });
    await send(channel, queue, ['none']);
    const first = (await drain(channel, queue)).join(' ');
    const isLast = type === 'quorum' && version === '4.3';
    expect(`${type}: sent with priority 1, then without one; delivered: ${first}`, first === (isLast ? 'none one' : 'one none'));
  }
};
PROGRAM
