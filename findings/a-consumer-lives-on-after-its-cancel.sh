#!/usr/bin/env bash
# From RabbitMQ 4.3 on, a quorum queue answers an acknowledgement timeout (consumer_timeout) with basic.cancel for that consumer,
# instead of closing the channel with 406.
#
# Expected: that consumer is no more, and everything else on its channel and connection goes on.
# Seen:     the broker keeps the consumer. It is cancelled once for each delivery that is late, and a late ack makes it deliver
#           to the cancelled consumer again. amqplib has forgotten the tag and ends the whole connection ("Unknown consumer"),
#           with all channels on it. Answering with basic.cancel helps, until another delivery of it is late: then the
#           channel is closed with 406 after all, "Timeout value used: -1 ms".
# Versions: RabbitMQ 4.3.6 (Debian testing); amqplib 2.3.1 (npm).
# Matters:  one slow handler costs every consumer of its connection. After a cancel, give up the channel: close it at once,
#           and consume on a new one.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.3 <<'PROGRAM'
export const broker = { config: { consumer_timeout: '2000' } };

export default async ({ broker, vhost, open, declare, send, collect, sleep, see, expect }) => {
  const channel = await open();

  await declare(channel, 'acked late', 'quorum');
  const late = await open();
  const { got, texts } = await collect(late, 'acked late');
  await send(channel, 'acked late', ['m1']);
  await sleep(3_000);
  const listed = (await broker.listConsumers(vhost)).length;
  see(`after the timeout the consumer got: ${texts().join(', ')}; the broker lists ${listed} consumer`);
  expect('it was cancelled, and is still listed', got.at(-1) === null && listed === 1 && late.errors.length === 0);
  late.ack(got[0]);
  await sleep(500);
  see(`it acked m1: ${late.errors[0]}`);
  expect('the whole connection is gone', /Unknown consumer/.test(late.errors[0]));

  await declare(channel, 'two late', 'quorum');
  const busy = await open();
  const neighbour = await busy.link.createChannel();
  let neighbourEnded = false;
  neighbour.on('close', () => (neighbourEnded = true));
  await collect(busy, 'two late');
  await send(channel, 'two late', ['m1']);
  await sleep(700);
  await send(channel, 'two late', ['m2']);
  await sleep(3_500);
  see(`two deliveries were late, nothing was acked: ${busy.errors[0]}`);
  expect('the second cancel ended its connection, the channel beside it too', /Unknown consumer/.test(busy.errors[0]) && neighbourEnded);

  await declare(channel, 'answered', 'quorum');
  const polite = await open();
  const { consumerTag } = await polite.consume('answered', (message) => {
    if (message === null) polite.cancel(consumerTag).catch(() => undefined);
  });
  await send(channel, 'answered', ['m1']);
  await sleep(700);
  await send(channel, 'answered', ['m2']);
  await sleep(3_500);
  see(`the cancel was answered with basic.cancel: ${polite.errors[0] ?? 'nothing happened'}`);
  expect('its channel is closed over the second one', /406.*timed out/.test(polite.errors[0]));
};
PROGRAM
