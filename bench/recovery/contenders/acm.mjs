import { connect } from 'amqp-connection-manager';
import { decode } from '../protocol.mjs';

export default async function start({ url, queues, got }) {
  const connection = connect([url]);
  const wrapper = connection.createChannel({
    async setup(channel) {
      for (const queue of queues) {
        await channel.assertQueue(queue, { durable: true });
        await channel.consume(queue, (message) => {
          if (message === null) return;
          got(decode(message.content));
          channel.ack(message);
        });
      }
    },
  });
  await wrapper.waitForConnect();
}
