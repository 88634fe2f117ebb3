#!/usr/bin/env bash
# A message may have no payload: a tick, a "look again". `publish(exchange, key, undefined)` of a library is expected to be something
# that the same library's handler can take.
#
# Expected: the handler is called once, with `undefined`; or publish() refuses.
# Seen:     publish() sends an empty body, and the subscriber of the same library hands it to JSON.parse(''), which throws. Its
#           default behaviour for errors is to requeue at once. So the handler is never called, the message never leaves, and comes
#           back hundreds of times a second, each time with a stack in the log. A request without a payload is another matter: `{}`
#           is put in its place. And a reply of `undefined` is understood, since the reader of replies looks at the length first.
# Versions: @golevelup/nestjs-rabbitmq 9.0.2 with @nestjs/common 11.2.10 and amqplib 2.3.1 (npm); RabbitMQ 4.0.5 (Debian 13).
# Matters:  one such message keeps a core and the broker busy until somebody purges the queue. Send null or {} there; a sender in another
#           language that leaves the body out does the same to it.
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

npm install --prefix "$work" --silent --no-audit --no-fund --ignore-scripts \
  @golevelup/nestjs-rabbitmq@9.0.2 @nestjs/common@11.2.10 @nestjs/core@11.2.10 reflect-metadata@0.2.2 rxjs@7.8.2

run_on 4.0 <<'PROGRAM'
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);
require('reflect-metadata');
const { AmqpConnection } = require('@golevelup/nestjs-rabbitmq');

export default async ({ broker, vhost, until, see, expect, sleep }) => {
  const errors = [];
  const logger = { log() {}, warn() {}, debug() {}, error: (text, stack) => errors.push(String(stack).split('\n')[0]) };
  const uri = `amqp://guest:guest@127.0.0.1:${broker.port}/${encodeURIComponent(vhost)}`;
  const connection = new AmqpConnection({ uri, exchanges: [{ name: 'shop', type: 'topic' }], logger });
  await connection.init();

  const handled = [];
  const options = { exchange: 'shop', routingKey: 'tick', queue: 'ticks' };
  await connection.createSubscriber(async (payload) => void handled.push(payload), options, 'onTick');
  await connection.publish('shop', 'tick', null);
  await connection.publish('shop', 'tick', { id: 1 });
  await until(() => handled.length === 1 && errors.length > 50);
  const before = errors.length;
  await sleep(1_000);
  see(`it came back ${errors.length - before} times in a second: ${errors.at(-1)}`);
  expect('its handler never gets it, and gets the next one', handled.length === 1 && handled[0]?.id === 1);
  expect('it comes back all the time', errors.length - before > 10);

  await connection.createRpc(async (payload) => void handled.push(payload), { exchange: 'shop', routingKey: 'ask', queue: 'asks' });
  const answer = await connection.request({ exchange: 'shop', routingKey: 'ask', payload: undefined });
  expect('a request without a payload has {} for one', JSON.stringify(handled.at(-1)) === '{}');
  expect('a reply without one is undefined', answer === undefined);
  await connection.close();
};
PROGRAM
