import { RmqConnection } from 'nestjs-rmq-keepalive';

/** @param options further options of the connection */
export default async function start({ url, queues, got, options }) {
  const connection = new RmqConnection({ urls: url, startup: 'wait', ...options });
  for (const queue of queues) connection.subscribe({ queue }, (payload) => got(payload.data));
  await connection.start();
}
