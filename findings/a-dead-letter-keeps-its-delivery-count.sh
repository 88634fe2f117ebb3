#!/usr/bin/env bash
# A message that a quorum queue gave up after too many deliveries is dead-lettered into the queue that an operator will look
# at: a quorum queue too, and like every quorum queue since 4.0 with a delivery limit of 20.
#
# Expected: it is a new message there. It is delivered with redelivered = false, and may come back twenty times.
# Seen:     on 4.3 it keeps its count. It is first delivered with redelivered = true and x-delivery-count 21, which is already
#           over the limit: the first time it comes back (a reject, or a consumer whose connection is lost) it is gone, or
#           goes on to the next dead-letter exchange. On 4.0 it begins anew. On 4.3 a classic queue marks its dead letters
#           redelivered as well, when they were rejected (basic.reject), not when they were nacked.
# Versions: RabbitMQ 4.0.5 and 4.3.6 (Debian 13, testing); amqplib 2.3.1 (npm).
# Matters:  one crash of the program that reads the dead letters loses them. Give the dead-letter queue a limit of its own
#           (x-delivery-limit: -1), and do not take `redelivered` or the count for what happened in this queue.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.0 4.3 <<'PROGRAM'
const DEFAULT_LIMIT = 20;

export default async ({ version, open, declare, send, sleep, see, expect }) => {
  const inherits = version === '4.3';
  const channel = await open();
  await declare(channel, 'work', 'quorum', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' });
  await declare(channel, 'dead', 'quorum');
  await send(channel, 'work', ['m1']);
  for (let times = 0; times <= DEFAULT_LIMIT; times++) {
    channel.reject(await channel.get('work'), true);
    await sleep(50);
  }
  await sleep(500);

  const reader = await open();
  const { fields, properties } = await reader.get('dead');
  const count = properties.headers['x-delivery-count'] ?? 'none';
  see(`first delivery of the dead letter: redelivered ${fields.redelivered}, x-delivery-count ${count}`);
  expect(inherits ? 'it is over the limit already' : 'it is a new message', inherits ? count > DEFAULT_LIMIT : !fields.redelivered);
  await reader.link.close();
  await sleep(500);
  const { messageCount } = await channel.checkQueue('dead');
  see(`the connection of its reader was closed; the dead-letter queue holds ${messageCount}`);
  expect(inherits ? 'it is gone' : 'it is there again', messageCount === (inherits ? 0 : 1));

  await declare(channel, 'classic', 'classic', { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'classic dead' });
  await declare(channel, 'classic dead', 'classic');
  for (const how of ['nack', 'reject']) {
    await send(channel, 'classic', ['m2']);
    const message = await channel.get('classic');
    if (how === 'nack') channel.nack(message, false, false);
    else channel.reject(message, false);
    await sleep(300);
    const { redelivered } = (await channel.get('classic dead', { noAck: true })).fields;
    expect(`from a classic queue by ${how}: redelivered ${redelivered}`, redelivered === (inherits && how === 'reject'));
  }
};
PROGRAM
