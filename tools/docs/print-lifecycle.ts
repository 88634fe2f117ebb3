/** `npm run docs:lifecycle`: writes docs/reference/lifecycle.md. */
import { writeFileSync } from 'node:fs';
import { lifecyclePage } from './lifecycle-page.js';

writeFileSync('docs/reference/lifecycle.md', lifecyclePage());
process.stdout.write('Wrote docs/reference/lifecycle.md\n');
