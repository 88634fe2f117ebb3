import { RmqConnection } from '../../../libs/rmq-keepalive/dist/index.js';

export async function consume(url, queues, received) {
  const connection = new RmqConnection({ urls: url });
  for (const queue of queues) connection.subscribe({ queue }, ({ data }) => received(queue, data));
  await connection.start();
  await connection.whenOpen();
}
