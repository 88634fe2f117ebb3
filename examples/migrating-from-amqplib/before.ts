/** A worker as many write it with amqplib. It works until something goes wrong with the connection, the channel or the queue. */
import { connect } from 'amqplib';
import { type Job, work } from './jobs.js';

const connection = await connect(process.env['RMQ_URLS'] ?? 'amqp://localhost');
// Without it the process would end with the connection; with it, nothing happens any more.
connection.on('error', (error: Error) => console.log(`connection: ${error.message}`));
const channel = await connection.createConfirmChannel();
await channel.assertExchange('shop', 'topic');
await channel.assertQueue('jobs');
await channel.bindQueue('jobs', 'shop', 'job.*');
await channel.prefetch(10);
await channel.consume('jobs', (message) => {
  if (message === null) return;
  const job = JSON.parse(message.content.toString()) as Job;
  work(job).then(
    () => {
      channel.publish('shop', 'done', Buffer.from(JSON.stringify(job)), { persistent: true });
      channel.ack(message);
    },
    () => channel.nack(message, false, false),
  );
});
console.log('Jobs are done.');
