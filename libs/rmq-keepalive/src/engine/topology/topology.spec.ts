import { describe, expect, it } from '@jest/globals';
import { OptionsError } from '../errors/options-error.js';
import {
  type Entity,
  entityName,
  toBindings,
  toExchange,
  Topology,
  type TopologyOptions,
  toQueue,
} from './topology.js';

function topologyOf(options: TopologyOptions): Topology {
  const topology = new Topology();
  topology.addOptions(options, 'topology');
  return topology;
}

const names = (entities: readonly Entity[]): string[] => entities.map(entityName);
const exchange = (name: string) => toExchange({ name }, 'x');
const queue = (name: string) => toQueue({ name }, 'x');

describe('when entities are added', () => {
  it('wants each once, also when two ask for it in other words', () => {
    const topology = topologyOf({ queues: [{ name: 'work', arguments: { 'x-max-length': 5, 'x-expires': 9 } }] });
    topology.addOptions(
      { queues: [{ name: 'work', durable: true, arguments: { 'x-expires': 9, 'x-max-length': 5 } }] },
      'more',
    );
    expect(names(topology.queues)).toEqual(['queue "work"']);
  });

  it.each<[string, TopologyOptions, TopologyOptions]>([
    ['exchange', { exchanges: [{ name: 'shop' }] }, { exchanges: [{ name: 'shop', type: 'direct' }] }],
    ['queue', { queues: [{ name: 'work' }] }, { queues: [{ name: 'work', durable: false }] }],
    ['queue', { queues: [{ name: 'work' }] }, { queues: [{ name: 'work', type: 'quorum' }] }],
  ])('refuses an %s that is wanted in two ways, naming both', (kind, first, second) => {
    expect(() => topologyOf(first).addOptions(second, 'more')).toThrow(OptionsError);
    expect(() => topologyOf(first).addOptions(second, 'more')).toThrow(
      new RegExp(`^more: ${kind} ".*" is wanted in two ways`),
    );
  });

  it.each<[string, () => unknown]>([
    ['a queue', () => toQueue({ name: 'q'.repeat(256) }, 'x')],
    ['a name of many bytes in few letters', () => toQueue({ name: '€'.repeat(86) }, 'x')],
    ['an exchange', () => toExchange({ name: 'e'.repeat(256) }, 'x')],
    ['a routing key', () => toBindings({ exchange: 'e', queue: 'q', routingKey: ['k', 'k'.repeat(256)] }, 'x')],
  ])('refuses %s that is longer than AMQP allows', (_, longer) => {
    expect(longer).toThrow(OptionsError);
    expect(longer).toThrow(/25[68] bytes are more than the 255/);
    expect(() => queue('q'.repeat(255))).not.toThrow();
  });

  it('keeps what was said, whatever becomes of the objects that said it', () => {
    const nested = { deep: [1, { x: 1 }] };
    const given = { 'x-max-length': 5, nested };
    const wanted = [
      toQueue({ name: 'q', arguments: given }, 'x'),
      toExchange({ name: 'e', arguments: given }, 'x'),
      ...toBindings({ exchange: 'e', queue: 'q', arguments: given }, 'x'),
    ];
    const before = JSON.stringify(wanted);
    given['x-max-length'] = 6;
    nested.deep.push(2);
    expect(JSON.stringify(wanted)).toBe(before);
  });

  it('takes all or nothing', () => {
    const topology = topologyOf({ queues: [{ name: 'work' }] });
    const contradiction = { exchanges: [{ name: 'shop' }], queues: [{ name: 'work', durable: false }] };
    expect(() => topology.addOptions(contradiction, 'more')).toThrow(OptionsError);
    expect(topology.exchanges).toEqual([]);
    const itself = { queues: [{ name: 'new' }, { name: 'new', durable: false }] };
    expect(() => topology.addOptions(itself, 'more')).toThrow(OptionsError);
    expect(names(topology.queues)).toEqual(['queue "work"']);
  });

  it('tells bindings apart by everything that makes them: key, arguments, kind of destination', () => {
    const bindings = [
      { exchange: 'x', queue: 'a' },
      { exchange: 'x', queue: 'a', routingKey: ['k1', 'k2'] },
      { exchange: 'x', queue: 'a', arguments: { kind: 'invoice' } },
      { exchange: 'x', queue: 'a', arguments: { kind: 'receipt' } },
      { exchange: 'x', queue: 'a', arguments: { kind: 'receipt', 'x-match': 'all' } },
      { exchange: 'x', queue: 'a', arguments: { 'x-match': 'all', kind: 'receipt' } },
      { exchange: 'x', toExchange: 'a' },
    ];
    const { bindings: wanted } = topologyOf({ bindings });
    expect(names(wanted)).toEqual([
      'binding x -> a',
      'binding x -> a (k1)',
      'binding x -> a (k2)',
      'binding x -> a {"kind":"invoice"}',
      'binding x -> a {"kind":"receipt"}',
      'binding x -> a {"kind":"receipt","x-match":"all"}',
      'binding x -> exchange a',
    ]);
    expect(new Set(names(wanted)).size).toBe(wanted.length);
  });
});

describe('when entities are taken back', () => {
  it('goes on wanting what somebody else wants', () => {
    const topology = topologyOf({ exchanges: [{ name: 'shop' }] });
    const one = [exchange('shop'), queue('one'), ...toBindings({ exchange: 'shop', queue: 'one' }, 'x')];
    const two = [exchange('shop'), queue('two')];
    topology.add(one, 'one');
    topology.add(two, 'two');
    expect(names(topology.remove(one))).toEqual(['queue "one"', 'binding shop -> one']);
    expect(names(topology.remove(two))).toEqual(['queue "two"']);
    expect(names([...topology.exchanges, ...topology.queues, ...topology.bindings])).toEqual(['exchange "shop"']);
    expect(topology.has(exchange('shop'))).toBe(true);
    expect(topology.has(queue('one'))).toBe(false);
  });

  it('does not mind what nobody wanted', () => {
    expect(topologyOf({}).remove([queue('work')])).toEqual([]);
  });

  it('lets it be wanted in another way afterwards', () => {
    const topology = topologyOf({ queues: [{ name: 'work' }] });
    topology.remove([queue('work')]);
    topology.addOptions({ queues: [{ name: 'work', durable: false }] }, 'again');
    expect(topology.queueNamed('work')?.options.durable).toBe(false);
  });
});

describe('when something was found missing', () => {
  const topology = topologyOf({
    exchanges: [{ name: 'in' }, { name: 'shop' }, { name: 'loop' }, { name: 'apart' }],
    queues: [{ name: 'work' }, { name: 'other' }],
    bindings: [
      { exchange: 'shop', queue: 'work', routingKey: 'order.*' },
      { exchange: 'shop', queue: 'other' },
      { exchange: 'in', toExchange: 'shop' },
      { exchange: 'amq.topic', toExchange: 'in' },
      { exchange: 'loop', toExchange: 'shop' },
      { exchange: 'shop', toExchange: 'loop' },
      { exchange: 'apart', queue: 'other' },
    ],
  });

  it('knows what leads to a queue: exchanges first, then it, then bindings; upwards through all exchanges, round no loop', () => {
    expect(names(topology.leadingTo('work'))).toEqual([
      'exchange "in"',
      'exchange "shop"',
      'exchange "loop"',
      'queue "work"',
      'binding shop -> work (order.*)',
      'binding in -> exchange shop',
      'binding amq.topic -> exchange in',
      'binding loop -> exchange shop',
      'binding shop -> exchange loop',
    ]);
  });

  it('knows what leads to a queue that is declared by somebody else', () => {
    expect(names(topologyOf({ bindings: [{ exchange: 'amq.topic', queue: 'theirs' }] }).leadingTo('theirs'))).toEqual([
      'binding amq.topic -> theirs',
    ]);
    expect(topology.leadingTo('unheard of')).toEqual([]);
  });

  it('knows an exchange with all its bindings, both ways', () => {
    expect(names(topology.around(new Set(['in'])))).toEqual([
      'exchange "in"',
      'binding in -> exchange shop',
      'binding amq.topic -> exchange in',
    ]);
    expect(names(topology.around(new Set(['apart', 'nobody', ''])))).toEqual([
      'exchange "apart"',
      'binding apart -> other',
    ]);
  });
});

describe('when options are checked', () => {
  it.each<[string, () => unknown]>([
    ['x.name', () => toExchange({ name: '' }, 'x')],
    ['x.name', () => toQueue({ name: 1 as never }, 'x')],
    ['x.type', () => toQueue({ name: 'q', type: 'classsic' as never }, 'x')],
    ['x', () => toQueue({ name: 'q', type: 'quorum', exclusive: true }, 'x')],
    ['x', () => toQueue({ name: 'q', type: 'stream', durable: false }, 'x')],
    ['x.exchange', () => toBindings({ exchange: '', queue: 'q' }, 'x')],
    ['x', () => toBindings({ exchange: 'e' }, 'x')],
    ['x', () => toBindings({ exchange: 'e', queue: 'q', toExchange: 'e2' }, 'x')],
    ['x', () => toQueue({ name: 'q', durabel: true } as never, 'x')],
  ])('names %s', (path, check) => {
    expect(check).toThrow(OptionsError);
    expect(check).toThrow(new RegExp(`^${path.replace('.', '\\.')}: `));
  });

  it('makes queues and exchanges that survive, unless told otherwise', () => {
    expect(queue('q').options).toEqual({ durable: true, exclusive: false, autoDelete: false, arguments: {} });
    expect(exchange('e')).toMatchObject({ type: 'topic', options: { durable: true, autoDelete: false } });
    expect(toQueue({ name: 'q', type: 'quorum', arguments: { 'x-delivery-limit': 3 } }, 'x').options.arguments).toEqual(
      {
        'x-queue-type': 'quorum',
        'x-delivery-limit': 3,
      },
    );
  });
});
