#!/usr/bin/env bash
# An operator gives a vhost a default queue type (or changes it), so that new queues become quorum queues.
#
# Expected: it is for new queues. Queues that are there, and the services that declare them, are not affected.
# Seen:     a declaration without a type is compared as if it named the default of today. Every queue that was made under
#           the old one is refused (406, inequivalent arg 'x-queue-type') to all who declare it as they always did: at
#           their next start or reconnect, that is, hours after the change. A passive declare still works. And not all new
#           ones become quorum queues: transient, exclusive and auto-delete queues stay classic without a word, a
#           durable server-named one is refused, and so is one with x-max-priority.
# Versions: RabbitMQ 4.0.5 and 4.3.6 (Debian 13, testing); amqplib 2.3.1 (npm).
# Matters:  name the type in every declaration before an operator chooses a default, or all services fail at their next start.
#           The setting for this, quorum_queue.property_equivalence.relaxed_checks_on_redeclaration, does not help: it is for
#           quorum queues that are declared as classic ones.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 4.0 4.3 <<'PROGRAM'
export default async ({ broker, vhost, open, see, expect }) => {
  const setDefault = (type) =>
    broker.control(`rabbit_vhost:update_metadata(<<"${vhost}">>, #{default_queue_type => <<"${type}">>}, <<"operator">>)`);
  const typeOf = async (name) => (await broker.listQueues(vhost)).find((queue) => queue.name === name)?.type;
  const declare = async (name, options) => {
    const channel = await open();
    return channel.assertQueue(name, options).then(
      ({ queue }) => typeOf(queue),
      () => channel.errors[0].replace(/.*"(.*)"$/, '$1'),
    );
  };

  await declare('orders', { durable: true });
  await setDefault('quorum');
  const again = await declare('orders', { durable: true });
  see(`declared before the default was set, and again after it: ${again}`);
  expect('the same declaration is refused', /inequivalent arg 'x-queue-type'.*received 'quorum' but current is 'classic'/.test(again));
  const passive = await (await open()).checkQueue('orders');
  expect('a passive declare is not', passive.queue === 'orders');

  const kinds = {
    durable: ['d', { durable: true }, /^quorum$/],
    transient: ['t', { durable: false }, /^classic$/],
    exclusive: ['e', { exclusive: true }, /^classic$/],
    'auto-delete': ['a', { autoDelete: true }, /^classic$/],
    'server-named, durable': ['', { durable: true }, /Cannot declare a server-named queue/],
    'with priorities': ['p', { durable: true, maxPriority: 5 }, /invalid arg 'x-max-priority'/],
  };
  for (const [kind, [name, options, wanted]] of Object.entries(kinds)) {
    const found = await declare(name, options);
    expect(`new, ${kind}: ${found}`, wanted.test(found));
  }

  await broker.control('application:set_env(rabbit, quorum_relaxed_checks_on_redeclaration, true)');
  const relaxed = await declare('orders', { durable: true });
  see(`with relaxed checks: ${relaxed}`);
  expect('they do not help', /inequivalent/.test(relaxed));
  await setDefault('classic');
  const wayBack = await declare('d', { durable: true });
  expect(`they do on the way back: the quorum queue, declared while the default is classic: ${wayBack}`, wayBack === 'quorum');
};
PROGRAM
