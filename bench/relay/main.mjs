/**
 * What the heartbeat thread costs: the product without it and with it, over TCP and over TLS.
 *
 * A pair of turns is taken one right after the other, each in a process of its own on a fresh queue, and every other round
 * begins with the other one: a machine that gets busier or slower bears on both alike, and only the ratio within a pair counts.
 */
import { readFile } from 'node:fs/promises';
import { CertificateAuthority } from '../../dist/tools/broker/certificates.js';
import { findFreePort } from '../../libs/rmq-keepalive/dist/integrations/testing/base/free-ports.js';
import { runBench } from '../shared/run-bench.mjs';
import { Child } from '../shared/child.mjs';
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

export const main = (args) =>
  runBench(args, {
    kind: 'relay',
    usage: USAGE,
    parseOptions,
    prepare: tlsIn,
    brokerOptions: (_, { config }) => ({ config }),
    measure,
    describeSample,
    table,
    kept: ['works', 'transports', 'rounds', 'workload', 'window', 'prefetch'],
  });

/** A second port of the broker, and what the product has to know of it. */
async function tlsIn(folder) {
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

async function* measure(broker, options, tls) {
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
    await child.hear('ready', READY_MS);
    child.tell({ go: true });
    const { type: _, ...result } = await child.hear('result', RESULT_MS);
    return result;
  } catch (error) {
    return { failure: error.message };
  } finally {
    await child.end();
    await removeQueue(broker.url);
  }
}
