import { describe, expect, it } from '@jest/globals';
import { useFaults } from '../support/fault-fixture.js';
import { TypescriptChild } from '../support/children/typescript-child.js';
import { until } from '../support/until.js';

const program = (name: string) => new URL(`../../examples/migrating-from-nest-rmq/${name}.ts`, import.meta.url);

describe('examples/migrating-from-nest-rmq', () => {
  const faults = useFaults();

  it.each([
    ['service.before', 'shop.before'],
    ['service.before', 'shop.after'],
    ['service.after', 'shop.before'],
    ['service.after', 'shop.after'],
  ])(
    '%s serves %s',
    async (serviceName, shopName) => {
      const env = { RMQ_URLS: faults.vhost.url };
      const service = TypescriptChild.start(program(serviceName), { env });
      faults.afterwards(() => service.dispose());
      await until('it serves', () => service.stdout.includes('Orders are served.'), { timeoutMs: 20_000 });
      const shop = TypescriptChild.start(program(shopName), { env });
      faults.afterwards(() => shop.dispose());
      await shop.untilEnded();
      expect(shop.stdout.split('\n')).toEqual([
        'found {"id":"o-1","items":["tea","pot"]}',
        "items [ 'tea', 'pot' ]",
        "refused { status: 'error', message: 'There is no order o-2' }",
        '',
      ]);
    },
    60_000,
  );
});
