import { RmqConnection } from 'nestjs-rmq-keepalive';

export default async function start({ url, queues, got }) {
  const connection = new RmqConnection({ urls: url, startup: 'wait' });
  for (const queue of queues) connection.subscribe({ queue }, (payload) => got(payload.data));
  await connection.start();
}
