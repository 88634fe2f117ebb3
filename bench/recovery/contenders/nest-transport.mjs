// One queue is one server: that is how the transport is made.
import 'reflect-metadata';
import { ServerRMQ } from '@nestjs/microservices';

export async function consume(url, queues, received) {
  await Promise.all(
    queues.map(async (queue) => {
      const server = new ServerRMQ({ urls: [url], queue, queueOptions: { durable: true } });
      server.addHandler('bench', (data) => Promise.resolve(received(queue, data)), true);
      await new Promise((resolve) => void server.listen(resolve));
    }),
  );
}
