#!/usr/bin/env bash
# `x-single-active-consumer` is what one chooses so that messages are handled one after the other, in order, whatever
# happens to the consumers.
#
# Expected: the next consumer becomes active when the one before has nothing in hand any more.
# Seen:     on basic.cancel (how a service begins to shut down in order) the next one is active at once, while the one before
#           still handles what it has: two work at the same time, and if the first fails then, its messages come after later ones.
#           On 4.3 an acknowledgement timeout mixes the order up: each late message returns at its own time, and the next
#           consumer gets newer ones in between (m1 m3 m4 m2). A take-over by a consumer of higher priority does wait (quorum queues,
#           4.x). And a consumer that asks for `exclusive` too is refused by a classic queue that has no consumer: "in exclusive use".
# Versions: RabbitMQ 4.0.5 and 4.3.6 (Debian 13, testing); amqplib 2.3.1 (npm).
# Matters:  to keep the order over a deployment, finish what is in hand before basic.cancel (prefetch 1 makes that one message),
#           or close the channel and let the message come again.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.0 4.3 <<'PROGRAM'
export const broker = {
  config: { consumer_timeout: '4000' },
  advancedConfig: '[{rabbit, [{channel_tick_interval, 1000}]}].',
};
const SINGLE = { 'x-single-active-consumer': true };

export default async ({ version, open, declare, send, collect, until, sleep, see, expect }) => {
  const channel = await open();
  for (const type of ['classic', 'quorum']) {
    await declare(channel, type, type, SINGLE);
    const [first, second] = [await open(), await open()];
    await first.prefetch(2);
    await second.prefetch(2);
    const a = await collect(first, type);
    await sleep(300);
    const b = await collect(second, type);
    await send(channel, type, ['m1', 'm2', 'm3', 'm4']);
    await until(() => a.got.length === 2);
    expect(`${type}: only the first has messages`, `${a.texts()}` === 'm1,m2' && b.got.length === 0);
    await first.cancel(a.consumerTag);
    await until(() => b.got.length === 2);
    see(`it was cancelled and has ${a.texts().join(' ')} in hand; the second got ${b.texts().join(' ')}`);
    expect('both have messages in hand now', `${b.texts()}` === 'm3,m4');
    for (const { link } of [first, second]) await link.close();
  }

  await declare(channel, 'prior', 'quorum', SINGLE);
  const [low, high] = [await open(), await open()];
  await low.prefetch(1);
  const a = await collect(low, 'prior', { priority: 0 });
  await send(channel, 'prior', ['m1', 'm2', 'm3']);
  await sleep(500);
  await high.prefetch(1);
  const b = await collect(high, 'prior', { priority: 1 });
  await sleep(500);
  const early = b.got.length;
  low.ack(a.got[0]);
  await until(() => b.got.length === 1);
  expect('a take-over by priority waits for the ack', early === 0 && `${b.texts()}` === 'm2' && a.got.length === 1);
  for (const { link } of [low, high]) await link.close();

  const asked = await open();
  await declare(asked, 'refused', 'classic', SINGLE);
  await asked.consume('refused', () => undefined, { exclusive: true }).catch(() => undefined);
  see(`exclusive, and nobody else there: ${asked.errors[0]}`);
  expect('it is refused', /403.*in exclusive use/.test(asked.errors[0]));

  await declare(channel, 'timed', 'quorum', SINGLE);
  const [slow, next] = [await open(), await open()];
  await slow.prefetch(2);
  await next.prefetch(1);
  await collect(slow, 'timed');
  await sleep(300);
  const order = [];
  await next.consume('timed', (message) => {
    order.push(message.content.toString());
    next.ack(message);
  });
  await send(channel, 'timed', ['m1']);
  await sleep(1_500);
  await send(channel, 'timed', ['m2', 'm3', 'm4']);
  await until(() => order.length === 4);
  see(`m1 and m2 timed out in the first one's hands; the second got ${order.join(' ')}`);
  expect('in order on 4.0, not on 4.3', `${order}` === (version === '4.3' ? 'm1,m3,m4,m2' : 'm1,m2,m3,m4'));
};
PROGRAM
