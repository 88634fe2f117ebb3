/**
 * `node run.mjs PROGRAM SERIES...`: runs the program of a finding against a fresh RabbitMQ of each series, and exits with 1
 * when one of them does not behave as the finding says.
 *
 * A program is a module whose default export is called with a `Bench`: `see(text)` prints what was seen, `expect(claim,
 * isTrue)` prints it too and counts; the rest is a broker, a vhost of its own and short words for amqplib.
 */
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { PrivateBroker } from '../../libs/rmq-keepalive/dist/integrations/testing/real/private-broker.js';

const [file, ...series] = process.argv.slice(2);
const amqp = createRequire(file)('amqplib');
const program = await import(pathToFileURL(file).href);
let broken = 0;

for (const version of series) {
  const broker = await PrivateBroker.start({ version, ...program.broker });
  console.log(`\nRabbitMQ ${broker.version}`);
  try {
    await program.default(await bench(broker, version));
  } finally {
    await broker.stop();
  }
}
console.log(broken === 0 ? '\nSeen as described.' : `\n${broken} of the claims did not hold.`);
process.exit(broken === 0 ? 0 : 1);

async function bench(broker, version) {
  const vhost = await broker.createVhost();
  return {
    broker,
    version,
    vhost: vhost.name,
    sleep,
    /** Resolves when it is so, or after 20 s: the claim that follows tells. */
    async until(isSo) {
      for (const start = Date.now(); !(await isSo()) && Date.now() - start < 20_000;) await sleep(50);
    },
    see: (text) => console.log(`  ${text}`),
    expect(claim, isTrue) {
      if (!isTrue) broken += 1;
      console.log(`  ${isTrue ? 'yes' : 'NO '}  ${claim}`);
    },
    /** A channel with confirms on a connection of its own, `link`; `errors` are what its connection and channel were closed with. */
    async open() {
      const errors = [];
      const connection = await amqp.connect(vhost.url, { noDelay: true });
      connection.on('error', (error) => errors.push(error.message));
      const channel = await connection.createConfirmChannel();
      channel.on('error', (error) => errors.push(error.message));
      return Object.assign(channel, { errors, link: connection });
    },
    policy: (pattern, definition) => broker.setPolicy('finding', pattern, definition, vhost.name),
    dropPolicy: () => broker.deletePolicy('finding', vhost.name),
    hasQueue: async (name) => (await broker.listQueues(vhost.name)).some((queue) => queue.name === name),
    declare: (channel, name, type, more = {}) =>
      channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': type, ...more } }),
    /** Sends the texts one after the other; tells for each whether the broker confirmed it or refused it. */
    async send(channel, queue, texts, options = {}) {
      const outcomes = [];
      for (const text of texts) outcomes.push(await sendOne(channel, queue, text, options));
      return outcomes;
    },
    /** Takes everything out of a queue: the texts in their order. */
    async drain(channel, queue) {
      const texts = [];
      for (let message; (message = await channel.get(queue, { noAck: true }));) texts.push(message.content.toString());
      return texts;
    },
    /** Consumes, and notes what comes: messages, and `null` for a cancel by the broker. */
    async collect(channel, queue, options = {}) {
      const got = [];
      const { consumerTag } = await channel.consume(queue, (message) => got.push(message), options);
      return { consumerTag, got, texts: () => got.map((message) => message?.content.toString() ?? 'cancel') };
    },
  };
}

function sendOne(channel, queue, text, options) {
  return new Promise((resolve) => {
    const answered = (refusal) => resolve(refusal === null ? 'confirmed' : 'refused');
    channel.sendToQueue(queue, Buffer.from(text), { persistent: true, ...options }, answered);
  });
}
