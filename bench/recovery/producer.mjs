/**
 * The producer: plain amqplib in a process of its own, without Nagle's delay, so that a fresh message is in every queue
 * before the first contender can be back.
 *
 * It has to publish after the fault, and at once. For a forced close it holds a second connection, the canary, which the
 * broker closes last: when the canary falls, everybody else has been closed. After a crash it dials until it is let in.
 */
import { connect } from 'amqplib';
import { setTimeout as sleep } from 'node:timers/promises';
import { decode, encode, ignore, queueName } from './protocol.mjs';

const REDIAL_MS = 10;
const [, , url, count] = process.argv;

/** @type {{ connection: import('amqplib').ChannelModel, channel: import('amqplib').ConfirmChannel } | undefined} */
let open;

const commands = {
  async connect() {
    const connection = await dial('bench-producer');
    open = { connection, channel: await connection.createConfirmChannel() };
    open.channel.on('error', ignore);
  },
  publish: (mark) => publish(mark),
  async publishAfterClose(mark) {
    const canary = await dial('bench-canary');
    canary.once('close', () => void publish(mark).then(() => tell({ published: mark }), fail));
  },
  async publishAfterCrash(mark) {
    while (true) {
      try {
        await commands.connect();
        break;
      } catch {
        await sleep(REDIAL_MS);
      }
    }
    await publish(mark);
    tell({ published: mark });
  },
};

process.on('disconnect', () => process.exit());
process.on('message', ({ id, command, mark }) => {
  void commands[command](mark).then(() => tell({ id }), fail);
});

async function dial(name) {
  const connection = await connect(url, { noDelay: true, clientProperties: { connection_name: name } });
  connection.on('error', ignore);
  return connection;
}

/** A queue that was declared just before a crash may not have reached the disk: what comes back finds it declared. */
async function publish(mark) {
  const { channel } = open;
  const send = (index) => channel.sendToQueue(queueName(index), encode(mark, index), { mandatory: true });
  const returned = [];
  const onReturn = (message) => returned.push(decode(message.content).queueIndex);
  channel.on('return', onReturn);
  for (let index = 0; index < Number(count); index++) send(index);
  await channel.waitForConfirms();
  channel.off('return', onReturn);
  for (const index of returned) {
    await channel.assertQueue(queueName(index), { durable: true });
    send(index);
  }
  await channel.waitForConfirms();
}

function tell(message) {
  if (process.connected) process.send?.(message);
}

function fail(error) {
  console.error('The producer failed:', error);
  process.exit(1);
}
