import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const SOURCE = 'libs/rmq-keepalive/src';

/** What others have named, and what ends something else than its own object. */
const OTHERWISE = new Map([
  ['OutboxSender.close', 'gives up what it holds, at once: its channel is closed after the others have flushed theirs'],
  ['SenderChannel.close', 'as that of its sender'],
  ['SubscriptionKeepers.end', 'ends one of its keepers'],
]);

interface Ending {
  readonly name: string;
  readonly isAsync: boolean;
}

describe('everything that starts ends by one contract', () => {
  const endings = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
    // A broker of a test is started and stopped.
    .filter((file) => /\.[jt]s$/.test(file) && !file.endsWith('.spec.ts') && !file.startsWith('integrations/testing/'))
    .flatMap((file) => endingsIn(readFileSync(`${SOURCE}/${file}`, 'utf8')));
  const called = (method: string): Ending[] =>
    endings.filter(({ name }) => name.endsWith(`.${method}`) && !OTHERWISE.has(name));

  it('close() is in order, and so it is asynchronous', () => {
    expect(called('close').length).toBeGreaterThan(8);
    expect(called('close').filter(({ isAsync }) => !isAsync)).toEqual([]);
  });

  it('end() is at once, and so it is synchronous', () => {
    expect(called('end').length).toBeGreaterThan(20);
    expect(called('end').filter(({ isAsync }) => isAsync)).toEqual([]);
  });

  it('nothing is called stop(), abandon() or wakeAll()', () => {
    expect(endings.filter(({ name }) => /\.(stop|abandon|wakeAll)$/.test(name))).toEqual([]);
  });

  it('control: an end() that has to be awaited, and a stop(), are seen', () => {
    const text = 'class A { async end(): Promise<void> {} stop(): void {} close(): Promise<void> { return x; } }';
    expect(endingsIn(text)).toEqual([
      { name: 'A.end', isAsync: true },
      { name: 'A.stop', isAsync: false },
      { name: 'A.close', isAsync: true },
    ]);
  });
});

function endingsIn(text: string): Ending[] {
  const found: Ending[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassDeclaration(node))
      for (const member of node.members) {
        if (!ts.isMethodDeclaration(member) || !ts.isIdentifier(member.name)) continue;
        if (!/^(close|end|stop|abandon|wakeAll)$/.test(member.name.text)) continue;
        const isAsync =
          (ts.getModifiers(member) ?? []).some(({ kind }) => kind === ts.SyntaxKind.AsyncKeyword) ||
          member.type?.getText().startsWith('Promise<') === true;
        found.push({ name: `${node.name?.text}.${member.name.text}`, isAsync });
      }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('any.ts', text, ts.ScriptTarget.Latest, true));
  return found;
}
