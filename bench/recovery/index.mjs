/**
 * Recovery: how long until each of N consumers has received a fresh message, after the connection was lost.
 *
 * A contender runs in a process of its own, with its library's defaults, N durable queues and one consumer on each. Then
 * the accident, and once it has happened a plain amqplib connection of ours publishes one marked message to each queue.
 * Only marked messages count: what was in a buffer before the accident proves nothing. The clock is the system's
 * monotonic one, which all processes share.
 *
 *   close   the broker closes all connections (320); counted from the moment it is told to
 *   kill    the broker is killed with SIGKILL and is away for five seconds; counted from when it accepts TCP again
 */
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'amqplib';
import { PrivateBroker } from '../../dist/tools/broker/private-broker.js';
import { keepResults, median, milliseconds, table } from '../support/figures.mjs';
import { namesAmong, oneAmong, readOptions, wholeNumber, wholeNumbers } from '../support/options.mjs';
import { ContenderProcess } from './contender-process.mjs';
import { CONTENDERS } from './contenders/index.mjs';

const OUTAGE_MS = 5_000;
/** How long a broker takes from its start until it accepts TCP, about; so that the outage is about as long as it should be. */
const BOOT_MS = 1_500;
const READY_WITHIN_MS = 180_000;
const RECOVERED_WITHIN_MS = 120_000;
const FAULTS = { close, kill };
const names = Object.keys(CONTENDERS);

export async function run(args) {
  const {
    consumers,
    rounds,
    broker: version,
    only,
  } = readOptions(args, {
    consumers: { read: wholeNumbers, otherwise: [1, 100, 1_000] },
    rounds: { read: wholeNumber, otherwise: 3 },
    broker: { read: oneAmong(['3.10', '4.0', '4.3']), otherwise: '3.10' },
    only: { read: namesAmong(names), otherwise: names },
  });
  const broker = await PrivateBroker.start({ version, schedulers: 2, onProgress: (sentence) => console.log(sentence) });
  const runs = [];
  try {
    for (const count of consumers)
      for (let round = 1; round <= rounds; round++)
        for (const fault of Object.keys(FAULTS))
          for (const name of only) {
            if (count > CONTENDERS[name].mostConsumers) continue;
            const tookMs = await measure(broker, name, count, fault);
            runs.push({ contender: name, consumers: count, fault, round, tookMs: tookMs ?? null });
            console.log(`${count} consumers, ${fault}, round ${round}: ${name} ${milliseconds(tookMs ?? Infinity)} ms`);
          }
  } finally {
    await broker.stop();
  }
  const columns = consumers.flatMap((count) => Object.keys(FAULTS).map((fault) => ({ count, fault })));
  console.log(`\nRabbitMQ ${broker.version}; medians of ${rounds} rounds in ms, and in brackets how many times ours\n`);
  console.log(tableOf(runs, only, columns));
  console.log(
    `\nAll figures: ${await keepResults('recovery', { broker: broker.version, rounds, outageMs: OUTAGE_MS, runs })}`,
  );
}

/** One contender, once. Undefined: not all consumers had their message in time. */
async function measure(broker, name, count, fault) {
  const vhost = await broker.createVhost('bench');
  const queues = Array.from({ length: count }, (_, number) => `bench-${number}`);
  const contender = new ContenderProcess(name, vhost.url, queues);
  try {
    await contender.untilReady(READY_WITHIN_MS);
    const marker = `fresh-${fault}`;
    const allReceived = contender.untilAllReceived(marker, RECOVERED_WITHIN_MS + OUTAGE_MS * 2);
    const from = await FAULTS[fault](broker);
    await publishFresh(vhost.url, queues, marker);
    const at = await allReceived;
    if (at !== undefined) return Number(at - from) / 1e6;
    console.log(`${name} did not come back. Its last words: ${contender.lastWords || '(none)'}`);
    return undefined;
  } finally {
    await contender.end();
    await vhost.delete();
  }
}

async function close(broker) {
  const from = process.hrtime.bigint();
  await broker.closeAllConnections('bench');
  return from;
}

async function kill(broker) {
  await broker.kill();
  await pause(OUTAGE_MS - BOOT_MS);
  const restarted = broker.restart();
  const from = await whenAcceptsTcp(broker.port);
  await restarted;
  return from;
}

async function whenAcceptsTcp(port) {
  for (;;) {
    const socket = connectTcp({ port, host: '127.0.0.1' });
    // 'error' first: once() rejects on it.
    const isAccepted = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    const at = process.hrtime.bigint();
    socket.destroy();
    if (isAccepted) return at;
    await pause(5);
  }
}

/**
 * The body is JSON that every contender understands: `pattern` is what the Nest transport routes by. A queue that was
 * declared just before the crash may not have reached the disk: a contender declares it again, but that may be later.
 */
async function publishFresh(url, queues, marker) {
  const session = await connect(url, { noDelay: true });
  const channel = await session.createConfirmChannel();
  const body = Buffer.from(JSON.stringify({ pattern: 'bench', data: marker }));
  const options = { persistent: true, mandatory: true, contentType: 'application/json' };
  const missing = [];
  channel.on('return', ({ fields }) => missing.push(fields.routingKey));
  for (const queue of queues) channel.sendToQueue(queue, body, options);
  await channel.waitForConfirms();
  await Promise.all(missing.map((queue) => channel.assertQueue(queue, { durable: true })));
  for (const queue of missing.splice(0)) channel.sendToQueue(queue, body, options);
  await channel.waitForConfirms();
  await session.close();
  if (missing.length > 0) throw new Error(`${missing.length} of ${queues.length} messages reached no queue`);
}

function tableOf(runs, contenders, columns) {
  const medianOf = (contender, { count, fault }) => {
    const mine = runs.filter((r) => r.contender === contender && r.consumers === count && r.fault === fault);
    return mine.length === 0 ? undefined : median(mine.map(({ tookMs }) => tookMs ?? undefined));
  };
  const cell = (contender, column) => {
    const [mine, ours] = [medianOf(contender, column), medianOf('ours', column)];
    if (mine === undefined) return '-';
    return contender === 'ours' || ours === undefined || !Number.isFinite(mine)
      ? milliseconds(mine)
      : `${milliseconds(mine)} (${(mine / ours).toFixed(1)})`;
  };
  const head = ['', ...columns.map(({ count, fault }) => `${count} ${fault}`)];
  return table(
    head,
    contenders.map((contender) => [CONTENDERS[contender].title, ...columns.map((column) => cell(contender, column))]),
  );
}
