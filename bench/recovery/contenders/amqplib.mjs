// amqplib with its bundled recovery: it redials; what is to be consumed is for `setup` to say again.
import { connect } from 'amqplib';
import { decode, ignore } from '../protocol.mjs';

export default async function start({ url, queues, got }) {
  const connection = await connect(url, {
    recovery: {
      async setup(model) {
        const channel = await model.createChannel();
        channel.on('error', ignore);
        for (const queue of queues) {
          await channel.assertQueue(queue, { durable: true });
          await channel.consume(queue, (message) => {
            if (message === null) return;
            got(decode(message.content));
            channel.ack(message);
          });
        }
      },
    },
  });
  connection.on('error', ignore);
}
