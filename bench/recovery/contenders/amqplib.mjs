// As its README shows recovery: everything is made again in `setup`, one thing after the other.
import { connect } from 'amqplib';

export async function consume(url, queues, received) {
  const setup = async (model) => {
    const channel = await model.createChannel();
    for (const queue of queues) {
      await channel.assertQueue(queue, { durable: true });
      await channel.consume(queue, (message) => {
        received(queue, JSON.parse(message.content.toString()).data);
        channel.ack(message);
      });
    }
  };
  const connection = await connect(url, { recovery: { setup } });
  connection.on('error', () => undefined);
}
