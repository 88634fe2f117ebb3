/**
 * Recovery: how long until each of N consumers has received a fresh message, after the connection was lost.
 *
 * A contender runs in a process of its own, with its library's defaults, N durable queues and one consumer on each. Then
 * the accident, and once it has happened a plain amqplib connection of ours publishes one marked message to each queue.
 * Only marked messages count: what was in a buffer before the accident proves nothing. The clock is the system's
 * monotonic one, which all processes share.
 *
 *   close   the broker closes all connections (320); counted from the moment it is told to
 *   kill    the broker is killed with SIGKILL and is away for about five seconds; counted from when it accepts TCP again
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

/**
 * How long the broker is away, round by round. Always exactly five seconds would be unfair: a library that redials every
 * five is then either there at the very moment or a full period late, by phase alone.
 */
const OUTAGES_MS = [5_000, 4_100, 5_900, 4_500, 5_400];
/** For libraries that treat a connection that dies young otherwise, as ours does. */
const SETTLE_MS = 1_500;
const READY_WITHIN_MS = 180_000;
const RECOVERED_WITHIN_MS = 120_000;
const FAULTS = { close, kill };
/** From the broker's start until it accepts TCP; as it was the last time, so that the outage is as long as it should be. */
let bootMs = 2_000;
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
    for (const planned of plan({ consumers, rounds, only })) {
      const tookMs = await measure(broker, planned);
      const { contender, count, fault, round } = planned;
      runs.push({ contender, consumers: count, fault, round, tookMs: tookMs ?? null });
      console.log(`${count} consumers, ${fault}, round ${round}: ${contender} ${milliseconds(tookMs ?? Infinity)}`);
    }
  } finally {
    await broker.stop();
  }
  const columns = consumers.flatMap((count) => Object.keys(FAULTS).map((fault) => ({ count, fault })));
  console.log(`\nRabbitMQ ${broker.version}; medians of ${rounds} rounds in ms, and in brackets how many times ours\n`);
  console.log(tableOf(runs, only, columns));
  console.log(
    `\nAll figures: ${await keepResults('recovery', { broker: broker.version, rounds, outagesMs: OUTAGES_MS, runs })}`,
  );
}

/** Contenders take turns, so that a machine that gets busier bears on all of them alike. */
function* plan({ consumers, rounds, only }) {
  for (const count of consumers)
    for (let round = 1; round <= rounds; round++)
      for (const fault of Object.keys(FAULTS))
        for (const contender of only)
          if (count <= CONTENDERS[contender].mostConsumers)
            yield { contender, count, fault, round, outageMs: OUTAGES_MS[(round - 1) % OUTAGES_MS.length] };
}

/** One contender, once. Undefined: not all consumers had their message in time. */
async function measure(broker, { contender, count, fault, outageMs }) {
  const vhost = await broker.createVhost('bench');
  const queues = Array.from({ length: count }, (_, number) => `bench-${number}`);
  const running = new ContenderProcess(contender, vhost.url, queues);
  try {
    if (!(await running.untilReady(READY_WITHIN_MS))) throw new Error('it did not get ready');
    await pause(SETTLE_MS);
    const marker = `fresh-${fault}`;
    const allReceived = running.untilAllReceived(marker, RECOVERED_WITHIN_MS + outageMs * 2);
    const from = await FAULTS[fault](broker, outageMs);
    await publishFresh(vhost.url, queues, marker);
    const at = await allReceived;
    if (at === undefined) throw new Error('it did not come back');
    return Number(at - from) / 1e6;
  } catch (error) {
    console.log(`${contender}: ${error.message}. Its last words: ${running.lastWords || '(none)'}`);
    return undefined;
  } finally {
    await running.end();
    await vhost.delete();
  }
}

async function close(broker) {
  const from = process.hrtime.bigint();
  await broker.closeAllConnections('bench');
  return from;
}

async function kill(broker, outageMs) {
  await broker.kill();
  await pause(Math.max(0, outageMs - bootMs));
  const startedAt = performance.now();
  const restarted = broker.restart();
  const from = await whenAcceptsTcp(broker.port);
  bootMs = performance.now() - startedAt;
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
  // Not persistent: a thousand queues that write to the disk at once would be a part of every figure.
  const options = { mandatory: true, contentType: 'application/json' };
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
