import { readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { complaintsAbout, snippetsIn } from '../support/repository/doc-snippets.js';

const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => `${folder}/${file}`);
const ofThePages = ['README.md', ...filesIn('docs', '.md')].flatMap(snippetsIn);
const ofTheSource = filesIn('libs/rmq-keepalive/src', '.ts').flatMap(snippetsIn);

describe('the TypeScript in README, docs and TSDoc', () => {
  it('compiles, as strictly as a fresh Nest application and with noImplicitReturns', () => {
    expect(complaintsAbout([...ofThePages, ...ofTheSource])).toEqual([]);
    expect(ofThePages.length).toBeGreaterThan(20);
    expect(ofTheSource.length).toBeGreaterThan(40);
  }, 120_000);

  it('control: a wrong name, a wrong type and a path without a return are found, each with its line', () => {
    const code = `@Subscribe(orderCreated, { queue: 'orders', prefetsh: 1 })
onCreated(@Payload() order: OrderCreated): Settlement | undefined {
  if (order.di === '1') return Settlement.ack();
}
`;
    const complaints = complaintsAbout([
      { page: 'docs/x.md', line: 10, code },
      { page: 'docs/y.md', line: 5, code: "\npublisher.publish('shop', 7);\n" },
      {
        page: 'docs/z.md',
        line: 1,
        code: 'const later = (isReady: boolean): number => {\n  if (isReady) return 1;\n};\n',
      },
    ]);
    expect(complaints).toEqual([
      expect.stringMatching(/^docs\/x\.md:10 .*prefetsh/s),
      'docs/x.md:11 Not all code paths return a value.',
      expect.stringMatching(/^docs\/x\.md:12 Property 'di' does not exist/),
      expect.stringMatching(/^docs\/y\.md:6 Argument of type 'string' is not assignable/),
      expect.stringMatching(/^docs\/z\.md:1 Function lacks ending return/),
    ]);
  }, 120_000);
});
