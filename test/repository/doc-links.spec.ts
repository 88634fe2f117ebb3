import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from '@jest/globals';

const packageJson = JSON.parse(readFileSync('libs/rmq-keepalive/package.json', 'utf8')) as {
  files: string[];
  scripts: { prepack: string };
};

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file));

const isMarkdown = (file: string): boolean => file.endsWith('.md');

/** Copied beside the package, and packed. */
const packed = packageJson.files.filter((name) => packageJson.scripts.prepack.includes(`../../${name}`));
const pages = packed.flatMap((name) => (statSync(name).isDirectory() ? filesIn(name) : [name])).filter(isMarkdown);

/** As GitHub and npm make them of a heading. */
const anchorsIn = (page: string): string[] =>
  [...readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    (heading as string)
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );

interface Link {
  readonly page: string;
  readonly target: string;
}

const linksIn = (page: string): Link[] =>
  [...readFileSync(page, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => ({
    page,
    target: target as string,
  }));

function isDead({ page, target }: Link): boolean {
  if (/^https?:/.test(target)) return false;
  const [path = '', anchor] = target.split('#');
  const file = path === '' ? page : normalize(join(dirname(page), path));
  const isPacked = packed.some((name) => file === name || file.startsWith(`${name}/`));
  if (!isPacked || !existsSync(file)) return true;
  return anchor !== undefined && !anchorsIn(file).includes(anchor);
}

describe('the pages of the package', () => {
  it('link to nothing that is not packed with them, nor to a heading that is not there', () => {
    expect(pages).toEqual(expect.arrayContaining(['README.md', 'docs/README.md', 'docs/guides/consuming.md']));
    const links = pages.flatMap(linksIn);
    expect(links.length).toBeGreaterThan(30);
    expect(links.filter(isDead)).toEqual([]);
  });

  it('control: a link out of the package, to a file or to a heading that is not there, is dead', () => {
    const dead = ['../test/support/until.ts', 'missing.md', 'guides/consuming.md#no-such-heading', '#no-such-heading'];
    expect(dead.filter((target) => !isDead({ page: 'docs/README.md', target }))).toEqual([]);
  });
});
