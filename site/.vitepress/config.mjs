/** The site of the documentation. Its pages are the markdown of the repository, as it stands. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { defineConfig } from 'vitepress';

const REPOSITORY = resolve(import.meta.dirname, '../..');
const SECTIONS = ['Start', 'Concepts', 'Guides', 'Operations', 'Reference'];
/** What is no documentation for users. */
const ELSEWHERE = readdirSync(REPOSITORY).filter(
  (name) => !['docs', 'examples'].includes(name) && !name.endsWith('.md'),
);

export default defineConfig({
  title: 'nestjs-rmq-keepalive',
  description: 'A NestJS module that keeps a service connected to RabbitMQ',
  srcDir: REPOSITORY,
  srcExclude: [...ELSEWHERE.map((name) => `${name}/**`), '**/node_modules/**'],
  rewrites: { 'README.md': 'index.md', ':folder(.*)/README.md': ':folder/index.md' },
  outDir: join(import.meta.dirname, '../dist'),
  cleanUrls: false,
  // A link to a page that is not there fails the build.
  ignoreDeadLinks: false,
  markdown: { config: rulesFor },
  vite: {
    // The pages stand outside this folder and find no modules of their own.
    resolve: {
      alias: [{ find: /^vue($|\/.*)/, replacement: `${join(import.meta.dirname, '../node_modules/vue')}$1` }],
    },
    server: { fs: { allow: [REPOSITORY] } },
    build: { chunkSizeWarningLimit: 2_000 },
  },
  themeConfig: {
    nav: [
      { text: 'Getting started', link: '/docs/start/getting-started' },
      { text: 'What you see', link: '/docs/operations/what-you-see' },
      { text: 'Options', link: '/docs/reference/options' },
      { text: 'Changelog', link: '/CHANGELOG' },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
    docFooter: { prev: 'Previous', next: 'Next' },
  },
});

/** The order of docs/README.md: one group a section, and within it what its tables name. */
function sidebar() {
  const index = readFileSync(join(REPOSITORY, 'docs/README.md'), 'utf8');
  return index
    .split(/^## /m)
    .filter((section) => SECTIONS.includes(section.split('\n')[0]))
    .map((section) => {
      const links = [...section.matchAll(/^\| \[([^\]]+)\]\(([^)]+)\.md\)/gm)];
      const items = links.map(([, text, path]) => ({ text: text.replaceAll('`', ''), link: `/docs/${path}` }));
      return { text: section.split('\n')[0], items, collapsed: false };
    });
}

function rulesFor(md) {
  const fence = md.renderer.rules.fence;
  md.renderer.rules.fence = (tokens, index, options, env, self) =>
    tokens[index].info.trim() === 'mermaid'
      ? `<Diagram code="${encodeURIComponent(tokens[index].content)}" />`
      : fence(tokens, index, options, env, self);
  // Sources and folders of the repository are not on the site.
  md.core.ruler.push('links-to-sources', ({ tokens }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? []))
      if (token.type === 'link_open' && isSource(token.attrGet('href'))) token.attrs = [['title', 'in the repository']];
  });
}

const isSource = (href) =>
  !/^(https?:|#|mailto:)/.test(href) && !/\.(md|html)(#|$)/.test(href) && !/\/(#|$)/.test(href);
