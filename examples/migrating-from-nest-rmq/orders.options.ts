/** What both sides said to `Transport.RMQ`, and still say. */
export const ordersOptions = {
  urls: (process.env['RMQ_URLS'] ?? 'amqp://localhost').split(','),
  queue: 'orders',
  queueOptions: { durable: true },
};
