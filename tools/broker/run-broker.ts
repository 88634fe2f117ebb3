/** Command: runs a private broker until it is told to stop. */
import { parseArgs } from 'node:util';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { asSeries } from '#testing/provision/rabbitmq-installation.js';
import { startBroker } from './start-broker.js';

const USAGE = `Runs a RabbitMQ on loopback until Ctrl-C, and prints its address.

  node dist/tools/broker/run-broker.js [--version 3.10|4.0|4.3] [--port N] [--data FOLDER]

  --version  which RabbitMQ; 4.0 by default (RMQ_BROKER_VERSION counts too)
  --port     where it listens; a free port by default
  --data     keeps its data there; by default they go with it
  --help     this text

The address goes to standard output, everything else to standard error.`;

function readArguments() {
  try {
    return parseArgs({
      options: {
        version: { type: 'string' },
        port: { type: 'string' },
        data: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return process.exit(2);
  }
}

const values = readArguments();
if (values.help === true) {
  console.log(USAGE);
  process.exit(0);
}

/** Resolves at the first request to stop; while it waits, something must keep the process running. */
function untilAskedToStop(): Promise<void> {
  return new Promise((resolve) => {
    const keepRunning = setInterval(() => undefined, 3_600_000);
    const stop = () => {
      clearInterval(keepRunning);
      resolve();
    };
    process.once('SIGINT', stop);
    process.once('SIGTERM', stop);
  });
}

try {
  const broker = await startBroker({
    version: values.version === undefined ? undefined : asSeries(values.version),
    port: values.port === undefined ? undefined : Number(values.port),
    dataDir: values.data,
    // The address alone goes to standard output, for scripts to read.
    onProgress: (sentence) => console.error(sentence),
  });
  console.log(broker.url);
  console.error(`RabbitMQ ${broker.version} is ready. Ctrl-C stops it.`);
  await untilAskedToStop();
  await broker.stop();
} catch (error) {
  console.error(error instanceof BrokerUnavailableError || error instanceof RangeError ? error.message : error);
  process.exit(1);
}
