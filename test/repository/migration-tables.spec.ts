import { describe, expect, it } from '@jest/globals';
import { exportedValues, memberNames, namesInTable } from '../support/repository/type-names.js';

const MICROSERVICES = 'node_modules/@nestjs/microservices';
const AMQPLIB = 'node_modules/amqplib';
const MANAGER = 'node_modules/amqp-connection-manager/dist/types';

interface Table {
  readonly page: string;
  /** What users of the library write. */
  readonly types: readonly string[];
  readonly files: readonly string[];
  /** Whose exported classes, functions and enums have rows, too. */
  readonly values: readonly string[];
}

const TABLES: readonly Table[] = [
  {
    page: 'docs/reference/from-nest-rmq.md',
    types: [
      ...['RmqOptions', 'AmqplibQueueOptions', 'AmqpConnectionManagerSocketOptions', 'RmqUrl', 'ClientRMQ'],
      ...['RmqRecordOptions', 'RmqRecord', 'RmqRecordBuilder', 'RmqContext'],
    ],
    files: [
      `${MICROSERVICES}/interfaces/microservice-configuration.interface.d.ts`,
      `${MICROSERVICES}/external/rmq-url.interface.d.ts`,
      ...['record-builders/rmq.record-builder', 'ctx-host/rmq.context', 'client/client-rmq', 'events/rmq.events'].map(
        (file) => `${MICROSERVICES}/${file}.d.ts`,
      ),
    ],
    values: [
      'record-builders/rmq.record-builder',
      'ctx-host/rmq.context',
      'client/client-rmq',
      'events/rmq.events',
    ].map((file) => `${MICROSERVICES}/${file}.d.ts`),
  },
  {
    page: 'docs/reference/from-amqplib.md',
    types: [
      ...['ChannelModel', 'Channel', 'ConfirmChannel', 'RecoveryOptions', 'RecoveringChannelModel'],
      ...['Connect', 'AssertQueue', 'DeleteQueue', 'AssertExchange', 'DeleteExchange', 'Publish', 'Consume', 'Get'].map(
        (name) => `Options.${name}`,
      ),
      ...['SocketOptions', 'ChannelOptions'],
      ...[
        'AmqpConnectionManagerOptions',
        'IAmqpConnectionManager',
        'CreateChannelOpts',
        'ChannelWrapper',
        'PublishOptions',
      ],
    ],
    files: [
      `${AMQPLIB}/index.d.ts`,
      `${AMQPLIB}/lib/properties.d.ts`,
      `${MANAGER}/AmqpConnectionManager.d.ts`,
      `${MANAGER}/ChannelWrapper.d.ts`,
    ],
    values: [`${AMQPLIB}/index.d.ts`],
  },
];

describe('the table of another library’s names', () => {
  it.each(TABLES.map((table) => [table.page, table] as const))(
    'on %s has each of them, and no others',
    (page, table) => {
      const { files, types, values } = table;
      const named = new Set([...memberNames(files, types), ...exportedValues(values)]);
      expect(named.size).toBeGreaterThan(40);
      expect(namesInTable(page).toSorted()).toEqual([...named].toSorted());
    },
  );
});
