/**
 * What the heartbeat thread costs: the product without it and with it, over TCP and over TLS.
 *
 * A pair of turns is taken one right after the other, each in a process of its own on a fresh queue, and every other round
 * begins with the other one: a machine that gets busier or slower bears on both alike, and only the ratio within a pair counts.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority } from '../../dist/tools/broker/certificates.js';
import { findFreePort } from '../../dist/tools/broker/free-ports.js';
import { PrivateBroker } from '../../dist/tools/broker/private-broker.js';
import { describeRun, saveResults } from '../shared/about.mjs';
import { Child } from '../shared/child.mjs';
import { CONTENDERS } from '../shared/contenders.mjs';
import { WORKLOADS } from '../throughput/protocol.mjs';
import { fillQueue, makeQueue, removeQueue } from '../throughput/queue.mjs';
import { parseOptions, USAGE } from './options.mjs';
import { describeSample, table } from './report.mjs';

const THREADS = ['main', 'worker'];
const READY_MS = 30_000;
const RESULT_MS = 180_000;
/** More than is measured, so that the queue does not run empty before the end. */
const SPARE = 5_000;
const CONTENDER = new URL('../throughput/contender.mjs', import.meta.url);

export async function main(args) {
  let options;
  try {
    options = parseOptions(args);
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (options.help) {
    console.log(USAGE);
    return 0;
  }
  const folder = await mkdtemp(join(tmpdir(), 'bench-relay-'));
  let broker;
  const end = async () => {
    await broker?.stop();
    await rm(folder, { recursive: true, force: true });
  };
  const stop = () => void end().then(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    const tls = await tlsOn(folder);
    const onProgress = (sentence) => console.log(sentence);
    broker = await PrivateBroker.start({ version: options.broker, config: tls.config, onProgress });
    const about = describeRun(
      broker,
      CONTENDERS.filter(({ name }) => name === 'ours'),
    );
    console.log(about.machine);
    const samples = [];
    let path;
    for await (const sample of measure(broker, tls, options)) {
      samples.push(sample);
      console.log(describeSample(sample));
      // Every time: a long run that is cut short leaves what it has.
      path = saveResults(`relay-${options.broker}`, about, { ...options, samples });
    }
    console.log(`\n${table(samples, options)}\n${about.machine}\nWritten to ${path}`);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await end();
  }
  return 0;
}

/** A second port of the broker, and what the product has to know of it. */
async function tlsOn(folder) {
  const authority = await CertificateAuthority.create(folder);
  const server = await authority.sign('server', ['DNS:localhost']);
  const port = await findFreePort('127.0.0.1');
  const config = {
    'listeners.ssl.1': `127.0.0.1:${port}`,
    'ssl_options.cacertfile': authority.certificate,
    'ssl_options.certfile': server.certificate,
    'ssl_options.keyfile': server.key,
    'ssl_options.verify': 'verify_none',
  };
  return {
    config,
    url: `amqps://guest:guest@localhost:${port}`,
    options: { ca: await readFile(authority.certificate, 'utf8') },
  };
}

async function* measure(broker, tls, options) {
  for (let round = 1; round <= options.rounds; round++) {
    const inTurn = round % 2 === 1 ? THREADS : THREADS.toReversed();
    for (const transport of options.transports) {
      for (const { kind, messages } of options.works) {
        for (const thread of inTurn) {
          const turn = { kind, messages, transport, thread };
          yield { round, ...turn, ...(await takeTurn(broker, tls, turn, options)) };
        }
      }
    }
  }
}

/** @returns what the product's process reported, or `{ failure }` */
async function takeTurn(broker, tls, { kind, messages, transport, thread }, { workload: name, window, prefetch }) {
  const workload = WORKLOADS[name];
  const warmUp = Math.ceil(messages / 3);
  const queue = await makeQueue(broker.url);
  if (kind === 'consume') await fillQueue(broker.url, workload, warmUp + messages + SPARE);
  const url = transport === 'tls' ? tls.url : broker.url;
  const connection = { heartbeat: { thread }, ...(transport === 'tls' ? { tls: tls.options } : undefined) };
  const task = { contender: 'ours', kind, url, connection, queue, workload, window, prefetch, warmUp, messages };
  const child = new Child(CONTENDER, [JSON.stringify(task)]);
  try {
    await expect(child, 'ready', READY_MS);
    child.tell({ go: true });
    const { type: _, ...result } = await expect(child, 'result', RESULT_MS);
    return result;
  } catch (error) {
    return { failure: error.message };
  } finally {
    await child.end();
    await removeQueue(broker.url);
  }
}

async function expect(child, type, timeoutMs) {
  const message = await child.waitFor((one) => one.type === type, timeoutMs);
  if (message === undefined) throw new Error(`not "${type}" within ${timeoutMs / 1_000} s`);
  return message;
}
