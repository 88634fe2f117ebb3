// A service as its users write it: it consumes, and closes what it opened when it is told to end. It never calls
// process.exit(), so it ends when nothing holds it any more. Each line it prints is one JSON object.
//
//   node sigterm-service.mjs ours|bare-amqplib <url> <queue> <drainTimeoutMs>
//
// A message says for how long its handler goes on when the service is told to end: { id, workMs }; without workMs it never ends.
const [kind, url, queue, drainTimeout] = process.argv.slice(2);
const drainTimeoutMs = Number(drainTimeout);
const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);
/** What holds the process, but for the pipe it talks into; a handle that was just closed is gone a turn of the loop later. */
const resources = async () => {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  return process
    .getActiveResourcesInfo()
    .filter((kind) => kind !== 'PipeWrap')
    .toSorted();
};

const toldToEnd = new Promise((resolve) => process.once('SIGTERM', resolve));
const work = async ({ id, workMs }) => {
  say({ started: id });
  await toldToEnd;
  await new Promise((resolve) => workMs !== undefined && setTimeout(resolve, workMs));
  say({ finished: id });
};

const services = {
  async ours() {
    const { RmqConnection } = await import('../../../libs/rmq-keepalive/dist/index.js');
    const connection = new RmqConnection({ urls: url, drainTimeoutMs });
    connection.subscribe({ queue, prefetch: 1_000, deadLetter: false }, work);
    await connection.start();
    await connection.whenOpen({ timeoutMs: 10_000 });
    return () => connection.close();
  },

  async 'bare-amqplib'() {
    const { connect } = await import('amqplib');
    const session = await connect(url);
    session.on('error', () => undefined);
    const channel = await session.createChannel();
    await channel.assertQueue(queue, { durable: true });
    await channel.prefetch(1_000);
    const handle = async (message) => {
      await work(JSON.parse(message.content.toString()));
      try {
        channel.ack(message);
      } catch (error) {
        say({ ackFailed: error.message });
      }
    };
    await channel.consume(queue, (message) => void handle(message));
    return () => session.close();
  },
};

const before = await resources();
const close = await services[kind]();
const end = async () => {
  const report = await close();
  // What is left of the handlers that never end is their own business: nothing of ours.
  say({ closed: report ?? null, before, after: await resources() });
};
process.once('SIGTERM', () => void end());
say({ ready: true });
