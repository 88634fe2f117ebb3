/** `npm run docs:house`: writes the map of the house into CONTRIBUTING.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { withHouseMap } from './house-map.js';

const PAGE = 'CONTRIBUTING.md';
writeFileSync(PAGE, withHouseMap(readFileSync(PAGE, 'utf8')));
process.stdout.write(`Wrote ${PAGE}\n`);
