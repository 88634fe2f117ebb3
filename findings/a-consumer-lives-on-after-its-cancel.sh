#!/usr/bin/env bash
# From RabbitMQ 4.3 on, a quorum queue answers an acknowledgement timeout (consumer_timeout) with basic.cancel for that consumer,
# instead of closing the channel with 406.
#
# Expected: that consumer is no more, and everything else on its channel and connection goes on.
# Seen:     the broker keeps the consumer. It is cancelled once for each delivery that is late, and a late ack makes it deliver
#           to the cancelled consumer again. amqplib has forgotten the tag ("Unknown consumer") and ends the channel over such
#           a delivery (the connection, if the channel has no 'error' listener), and over a second cancel the whole connection,
#           with all channels on it. Answering with basic.cancel helps, until another delivery of it is late: then the
#           channel is closed with 406 after all, "Timeout value used: -1 ms".
# Versions: RabbitMQ 4.3.6 (Debian testing); amqplib 2.3.1 (npm).
# Matters:  one slow handler costs every consumer of its connection. After a cancel, give up the channel: close it at once,
#           and consume on a new one.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.3 <<'PROGRAM'
export const broker = { config: { consumer_timeout: '2000' } };

export default async ({ broker, vhost, open, declare, send, collect, until, sleep, see, expect }) => {
  const channel = await open();

  await declare(channel, 'acked late', 'quorum');
  const late = await open();
  const { got, texts } = await collect(late, 'acked late');
  await send(channel, 'acked late', ['m1']);
  await until(() => got.includes(null));
  await sleep(500);
  const listed = (await broker.listConsumers(vhost)).length;
  see(`after the timeout the consumer got: ${texts().join(', ')}; the broker lists ${listed} consumer`);
  expect('it was cancelled, and is still listed', got.at(-1) === null && listed === 1 && late.errors.length === 0);
  late.ack(got[0]);
  await until(() => late.errors.length > 0);
  see(`it acked m1: ${late.errors[0]}`);
  expect('its channel is gone', /Unknown consumer/.test(late.errors[0]));

  // Nearly always: at times the broker looks at the second delivery much later.
  const tries = [1, 2, 3, 4, 5];
  const holdTwo = async (queue, consumer, onCancel) => {
    await declare(channel, queue, 'quorum');
    const { consumerTag } = await consumer.consume(queue, (message) => message ?? onCancel(consumerTag));
    await send(channel, queue, ['m1']);
    await sleep(700);
    await send(channel, queue, ['m2']);
    await sleep(3_000);
  };

  for (const number of tries) {
    const busy = await open();
    let neighbourEnded = false;
    (await busy.link.createChannel()).on('close', () => (neighbourEnded = true));
    await holdTwo(`two late ${number}`, busy, () => undefined);
    if (!neighbourEnded && number < tries.length) continue;
    see(`two deliveries were late, nothing was acked: ${busy.errors[0]}`);
    expect('the second cancel ended the connection, a channel beside it too', /Unknown consumer/.test(busy.errors[0]) && neighbourEnded);
    break;
  }

  for (const number of tries) {
    const polite = await open();
    await holdTwo(`answered ${number}`, polite, (tag) => void polite.cancel(tag).catch(() => undefined));
    if (polite.errors.length === 0 && number < tries.length) continue;
    see(`the cancel was answered with basic.cancel: ${polite.errors[0]}`);
    expect('its channel is closed over the second delivery', /406.*timed out/.test(polite.errors[0]));
    break;
  }
};
PROGRAM
