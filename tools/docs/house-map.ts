/** The map of the house in CONTRIBUTING.md: a line a room, and where to begin a change. */
import { CHANGES, ROOMS } from './rooms.js';

const FIRST = '<!-- Printed by `npm run docs:house` from tools/docs/rooms.ts. Edit that. -->';
const LAST = '<!-- the end of what is printed -->';

/** The page with the map as it should be. @throws when the page has no place for it */
export function withHouseMap(page: string): string {
  const [before, rest] = page.split(FIRST);
  const after = rest?.split(LAST)[1];
  if (before === undefined || after === undefined) throw new Error(`The page needs a line ${FIRST} and a line ${LAST}`);
  return `${before}${FIRST}\n${houseMap()}${LAST}${after}`;
}

function houseMap(): string {
  const rooms = Object.entries(ROOMS).map(
    ([room, sentence]) => `| \`${room === '.' ? 'index.ts' : room}\` | ${sentence} |`,
  );
  const changes = Object.entries(CHANGES).map(
    ([change, files]) => `| ${change} | ${files.map((file) => `\`${file}\``).join(', ')} |`,
  );
  return `<!-- prettier-ignore-start -->

Under \`libs/rmq-keepalive/src\`, from the ground up. Each room may import from the rooms above it, and never from those below.

| room | its duty |
| --- | --- |
${rooms.join('\n')}

| to change | open |
| --- | --- |
${changes.join('\n')}

<!-- prettier-ignore-end -->
`;
}
