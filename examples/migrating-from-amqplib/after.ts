/** The same worker on a managed connection, without Nest. */
import { describeEvent, RmqConnection } from 'nestjs-rmq-keepalive';
import { type Job, work } from './jobs.js';

const connection = new RmqConnection({
  urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
  startup: 'wait',
});
connection.on('*', (event) => {
  const { level, sentence } = describeEvent(event);
  if (level !== 'debug') console.log(sentence);
});
connection.subscribe<Job>(
  { queue: 'jobs', exchange: 'shop', routingKey: 'job.*', prefetch: 10 },
  // Resolves: ack. Throws: the message goes to `jobs.dead`, with the reason.
  async (job) => {
    await work(job);
    await connection.publisher.publish('shop', 'done', job, { mandatory: false });
  },
);
await connection.start();
console.log('Jobs are done.');

process.once('SIGTERM', () => void connection.close());
