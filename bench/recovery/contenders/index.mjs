/** Who is measured. Each is loaded in its own process only. `mostConsumers`: beyond that it is not asked, and why. */
export const CONTENDERS = {
  ours: { title: 'nestjs-rmq-keepalive', mostConsumers: Infinity, load: () => import('./ours.mjs') },
  amqplib: { title: 'amqplib, its recovery', mostConsumers: Infinity, load: () => import('./amqplib.mjs') },
  acm: {
    title: 'amqp-connection-manager',
    mostConsumers: Infinity,
    load: () => import('./amqp-connection-manager.mjs'),
  },
  golevelup: { title: '@golevelup/nestjs-rabbitmq', mostConsumers: Infinity, load: () => import('./golevelup.mjs') },
  // One queue is one server is one connection: a thousand of them would measure the broker.
  nest: { title: '@nestjs/microservices', mostConsumers: 100, load: () => import('./nest-transport.mjs') },
  'rabbitmq-client': { title: 'rabbitmq-client', mostConsumers: Infinity, load: () => import('./rabbitmq-client.mjs') },
  cloudamqp: { title: '@cloudamqp/amqp-client', mostConsumers: Infinity, load: () => import('./cloudamqp.mjs') },
};
