/** Who takes part. Each `name` is a module in a contenders/ folder; `package` is where the version is read. */
export const CONTENDERS = [
  { name: 'ours', title: 'ours', package: 'nestjs-rmq-keepalive' },
  { name: 'amqplib', title: 'amqplib', package: 'amqplib' },
  { name: 'acm', title: 'amqp-connection-manager', package: 'amqp-connection-manager', hasRpc: false },
  { name: 'golevelup', title: 'golevelup', package: '@golevelup/nestjs-rabbitmq' },
  {
    name: 'nest',
    title: 'Nest Transport.RMQ',
    package: '@nestjs/microservices',
    maxConsumers: 100,
    because: 'it opens one connection for each queue',
  },
  { name: 'rabbitmq-client', title: 'rabbitmq-client', package: 'rabbitmq-client' },
  { name: 'cloudamqp', title: 'cloudamqp', package: '@cloudamqp/amqp-client' },
];
