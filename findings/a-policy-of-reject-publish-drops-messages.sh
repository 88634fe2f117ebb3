#!/usr/bin/env bash
# The policy { max-length, overflow: reject-publish } is read as: refuse what is published while the queue is full.
#
# Expected: a queue that is already longer than the limit keeps its messages, and only new ones are refused.
# Seen:     a classic queue drops its oldest messages down to the limit when the policy is set (dead-letters them if it has
#           a dead-letter exchange): the limit takes effect before the overflow does. With the overflow set first, or
#           as an argument of the queue, it keeps them. A quorum queue keeps them either way, and there `overflow` of a policy
#           also beats the queue's own argument, where every other argument beats its policy. On 3.10.8 a publisher that
#           was refused once by a quorum queue is refused for ever, also after the policy is gone, until it opens a new channel.
# Versions: RabbitMQ 3.10.8, 4.0.5, 4.3.6 (Debian 12, 13, testing); amqplib 2.3.1 (npm).
# Matters:  this policy is what one sets to protect a backlog. Setting it deletes the backlog. Set `overflow` alone first.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 3.10 4.0 4.3 <<'PROGRAM'
const BACKLOG = ['m1', 'm2', 'm3', 'm4', 'm5'];
const LIMIT = { 'max-length': 2, overflow: 'reject-publish' };
const same = (these, those) => `${these}` === `${those}`;

export default async ({ version, open, policy, dropPolicy, declare, send, drain, sleep, see, expect }) => {
  const channel = await open();
  for (const type of ['classic', 'quorum']) {
    await declare(channel, type, type);
    await send(channel, type, BACKLOG);
    await policy(`^${type}$`, LIMIT);
    await sleep(500);
    const refused = await send(channel, type, ['one more']);
    const left = await drain(channel, type);
    see(`${type}: five messages, then the policy with a limit of two; left: ${left.join(' ')}; one more: ${refused}`);
    const wanted = type === 'classic' ? BACKLOG.slice(3) : BACKLOG;
    expect(`the ${type} queue ${type === 'classic' ? 'lost its three oldest' : 'kept all'}`, same(left, wanted));
    await dropPolicy();
    await channel.deleteQueue(type);
  }

  await declare(channel, 'in two steps', 'classic');
  await send(channel, 'in two steps', BACKLOG);
  await policy('^in two steps$', { overflow: 'reject-publish' });
  await sleep(300);
  await policy('^in two steps$', LIMIT);
  await sleep(500);
  expect('the classic queue keeps all if overflow is set first', same(await drain(channel, 'in two steps'), BACKLOG));
  await dropPolicy();

  const own = { 'x-max-length': 1, 'x-overflow': 'drop-head' };
  for (const type of ['classic', 'quorum']) {
    await declare(channel, `own ${type}`, type, own);
    await policy(`^own ${type}$`, { overflow: 'reject-publish' });
    await sleep(500);
    // A quorum queue says so a little later than it is full.
    const outcomes = await send(channel, `own ${type}`, ['1', '2', '3', '4', '5', '6']);
    const winner = outcomes.includes('refused') ? 'the policy' : 'the argument';
    expect(`overflow of a ${type} queue: ${winner} wins`, winner === (type === 'classic' ? 'the argument' : 'the policy'));
    await dropPolicy();
  }

  await declare(channel, 'lifted', 'quorum');
  await policy('^lifted$', LIMIT);
  await sleep(500);
  await send(channel, 'lifted', ['1', '2', '3', '4', '5', '6']);
  await dropPolicy();
  await sleep(3_000);
  const [here] = await send(channel, 'lifted', ['x']);
  const [elsewhere] = await send(await open(), 'lifted', ['x']);
  see(`three seconds after the policy was deleted: ${here} on the old channel, ${elsewhere} on a new one`);
  expect('the old channel is as 3.10.8 leaves it, and 4.x mended it', here === (version === '3.10' ? 'refused' : 'confirmed'));
  expect('a new channel publishes', elsewhere === 'confirmed');
};
PROGRAM
