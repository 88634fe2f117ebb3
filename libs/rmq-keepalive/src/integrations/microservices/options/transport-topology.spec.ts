import { describe, expect, it } from '@jest/globals';
import { clientTopology, queueDeclaration, serverRouting } from './transport-topology.js';

describe('what a transport declares', () => {
  it('reads queue options as amqplib does', () => {
    expect(queueDeclaration()).toEqual({});
    expect(
      queueDeclaration({
        durable: false,
        noAssert: true,
        maxLength: 5,
        arguments: { 'x-queue-type': 'quorum' },
        what: 1,
      }),
    ).toEqual({ durable: false, arguments: { 'x-queue-type': 'quorum', 'x-max-length': 5 } });
  });

  it.each([
    [{ queue: 'q' }, { routingKeys: [] }],
    [{ exchange: 'e' }, { exchange: { name: 'e', type: 'topic' }, routingKeys: [] }],
    [
      { exchange: 'e', routingKey: 'k' },
      { exchange: { name: 'e', type: 'topic' }, routingKeys: ['k'] },
    ],
    [
      { exchange: 'e', exchangeType: 'fanout' },
      { exchange: { name: 'e', type: 'fanout' }, routingKeys: [''] },
    ],
    [
      { queue: 'q', wildcards: true },
      { exchange: { name: 'q', type: 'topic' }, routingKeys: ['a.*', 'b'] },
    ],
    [
      { exchange: 'e', wildcards: true, routingKey: 'b', exchangeArguments: { 'alternate-exchange': 'x' } },
      { exchange: { name: 'e', type: 'topic', arguments: { 'alternate-exchange': 'x' } }, routingKeys: ['b', 'a.*'] },
    ],
  ])('binds the queue of a server with %j', (options, routing) => {
    expect(serverRouting(options, ['a.*', 'b'])).toEqual(routing);
  });

  it.each([
    [{ queue: 'q' }, { queues: [{ name: 'q' }] }],
    [{ queue: 'q', noAssert: true }, { queues: [] }],
    [{ queue: 'q', queueOptions: { noAssert: true } }, { queues: [] }],
    [{ queue: 'q', wildcards: true }, { exchanges: [{ name: 'q', type: 'topic' }] }],
    [{ queue: 'q', exchange: 'e', exchangeType: 'fanout' }, { exchanges: [{ name: 'e', type: 'fanout' }] }],
    [
      { queue: 'q', exchange: 'e', routingKey: 'k' },
      { queues: [{ name: 'q' }], exchanges: [], bindings: [{ exchange: 'e', queue: 'q', routingKey: 'k' }] },
    ],
  ])('declares what a client with %j publishes to', (options, topology) => {
    expect(clientTopology(options)).toEqual(topology);
  });
});
