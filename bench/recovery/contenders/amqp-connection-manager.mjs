// One channel wrapper, which remembers queues and consumers and makes them again.
import { connect } from 'amqp-connection-manager';

export async function consume(url, queues, received) {
  const channel = connect(url).createChannel();
  await channel.waitForConnect();
  for (const queue of queues) {
    await channel.assertQueue(queue, { durable: true });
    await channel.consume(queue, (message) => {
      received(queue, JSON.parse(message.content.toString()).data);
      channel.ack(message);
    });
  }
}
