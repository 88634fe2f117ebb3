/** The queue of a turn: made afresh, filled if that is wanted, removed afterwards. */
import { connect } from 'amqplib';
import { payloadOf } from './protocol.mjs';

const NAME = 'bench-throughput';
const CONFIRM_EVERY = 5_000;

/** @returns its name */
export async function makeQueue(url) {
  await withChannel(url, async (channel) => {
    await channel.deleteQueue(NAME);
    await channel.assertQueue(NAME, { durable: true });
  });
  return NAME;
}

export async function fillQueue(url, workload, count) {
  const body = Buffer.from(JSON.stringify(payloadOf(workload.bytes)));
  const options = { persistent: workload.persistent, contentType: 'application/json' };
  await withChannel(url, async (channel) => {
    for (let sent = 1; sent <= count; sent++) {
      channel.sendToQueue(NAME, body, options);
      if (sent % CONFIRM_EVERY === 0) await channel.waitForConfirms();
    }
    await channel.waitForConfirms();
  });
}

export async function removeQueue(url) {
  await withChannel(url, (channel) => channel.deleteQueue(NAME));
}

async function withChannel(url, work) {
  const connection = await connect(url, { noDelay: true });
  try {
    await work(await connection.createConfirmChannel());
  } finally {
    await connection.close();
  }
}
