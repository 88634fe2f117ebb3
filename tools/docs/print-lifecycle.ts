/** `npm run docs:lifecycle`: writes docs/lifecycle.md. */
import { writeFileSync } from 'node:fs';
import { lifecyclePage } from './lifecycle-page.js';

writeFileSync('docs/lifecycle.md', lifecyclePage());
process.stdout.write('Wrote docs/lifecycle.md\n');
