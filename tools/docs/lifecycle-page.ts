/** Renders docs/reference/lifecycle.md from the table that the code executes. */
import { NEXT_STATES, STATE_MEANINGS, type StateName } from '#engine/reporting/lifecycle.js';

export function lifecyclePage(): string {
  const names = Object.keys(NEXT_STATES) as StateName[];
  const arrows = names.flatMap((from) => NEXT_STATES[from].map((to) => `    ${idOf(from)} --> ${idOf(to)}`));
  const rows = names.map((name) => `| \`${name}\` | ${STATE_MEANINGS[name]} | ${followers(name)} |`);
  return `<!-- Printed by \`npm run docs:lifecycle\` from libs/rmq-keepalive/src/engine/reporting/lifecycle.ts. Edit that. -->

# The lifecycle of a connection

\`connection.state\` is always exactly one of these, \`connection.state$\` tells every change, and an illegal step throws.
Every link (one for publishing, one for consuming) walks this table by itself; the connection's state is that of the link
furthest from \`open\`. *Blocked*, the broker's resource alarm, is a flag beside the state (\`status().blocked\`), as in the
protocol.

\`\`\`mermaid
stateDiagram-v2
    [*] --> ${idOf('idle')}
${arrows.join('\n')}
    ${idOf('closed')} --> [*]
${names
  .filter((name) => idOf(name) !== name)
  .map((name) => `    ${idOf(name)}: ${name}`)
  .join('\n')}
\`\`\`

| state | meaning | may be followed by |
| --- | --- | --- |
${rows.join('\n')}

A further link that is dialled for the first time while the connection is open counts from its first outcome on: opening
the publishing link with the first publish takes nothing away from a connection that consumes.
`;
}

const idOf = (name: StateName): string => name.replace('-', '_');

function followers(name: StateName): string {
  const next: readonly StateName[] = NEXT_STATES[name];
  return next.length === 0 ? 'nothing' : next.map((to) => `\`${to}\``).join(', ');
}
