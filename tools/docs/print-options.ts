/** `npm run docs:options`: writes the pages of the options in docs/reference. */
import { writeFileSync } from 'node:fs';
import { optionsPages } from './options-pages.js';

for (const [path, page] of optionsPages()) {
  writeFileSync(path, page);
  process.stdout.write(`Wrote ${path}\n`);
}
