/** Renders docs/reference/lifecycle.md from the tables that the code executes. */
import {
  NEXT_SUBSCRIPTION_STATES,
  SUBSCRIPTION_STATE_MEANINGS,
} from '#engine/consuming/attaching/subscription-state.js';
import { NEXT_SENDER_STATES, SENDER_STATE_MEANINGS } from '#engine/publishing/sending/sender-state.js';
import { NEXT_STATES, STATE_MEANINGS } from '#engine/reporting/lifecycle.js';

/** The states of one thing: which may follow which, and a sentence for each. */
interface States {
  readonly next: Readonly<Record<string, readonly string[]>>;
  readonly meanings: Readonly<Record<string, string>>;
  readonly begins: readonly string[];
  readonly ends: string;
}

const connection: States = { next: NEXT_STATES, meanings: STATE_MEANINGS, begins: ['idle'], ends: 'closed' };
const sender: States = {
  next: NEXT_SENDER_STATES,
  meanings: SENDER_STATE_MEANINGS,
  begins: ['unneeded', 'waiting'],
  ends: 'closed',
};
const subscription: States = {
  next: NEXT_SUBSCRIPTION_STATES,
  meanings: SUBSCRIPTION_STATE_MEANINGS,
  begins: ['waiting'],
  ends: 'ended',
};

export function lifecyclePage(): string {
  return `<!-- Printed by \`npm run docs:lifecycle\` from the tables in libs/rmq-keepalive/src/engine: reporting/lifecycle.ts and the
     \`*-state.ts\` files. Edit those. -->

# The lifecycle of a connection

\`connection.state\` is always exactly one of these, and \`connection.state$\` tells every change.
Every link (one for publishing, one for consuming) walks this table by itself; the connection's state is that of the link
furthest from \`open\`. *Blocked*, the broker's resource alarm, is a flag beside the state (\`status().blocked\`), as in the
protocol.

${diagramOf(connection)}

${tableOf(connection)}

A further link that is dialled for the first time while the connection is open counts from its first outcome on: opening
the publishing link with the first publish takes nothing away from a connection that consumes. Before the connection is
open for the first time, it waits for the link of its consumers, also when a publish has opened its own link before.

A consumer that you subscribe, or resume, while the connection is open takes nothing away either. \`whenOpen()\` and the
subscription's \`ready\` wait for it, and \`status().consumers.missing\` names it until then.

A step that is not in a table is a defect of this library. It is reported as the event \`internal-error\`, and costs nothing by
itself.

## The states of a subscription

Below the link every subscription has a state of its own. \`status().consumers\` shows it in parts: \`attached\`, \`missing\` (all
that should be attached and are not, with the reason), \`paused\`.

${diagramOf(subscription)}

${tableOf(subscription)}

## The states of a publisher

Every publisher has a state of its own. \`status()\` shows it in parts: \`outbox\`, and \`publishing.missing\` for
\`without-channel\`. The connection's publisher begins as \`waiting\`, a further one as \`unneeded\`.

${diagramOf(sender)}

${tableOf(sender)}
`;
}

function diagramOf({ next, begins, ends }: States): string {
  const names = Object.keys(next);
  const arrows = names.flatMap((from) => (next[from] ?? []).map((to) => `    ${idOf(from)} --> ${idOf(to)}`));
  return [
    '```mermaid',
    'stateDiagram-v2',
    ...begins.map((name) => `    [*] --> ${idOf(name)}`),
    ...arrows,
    `    ${idOf(ends)} --> [*]`,
    ...names.filter((name) => idOf(name) !== name).map((name) => `    ${idOf(name)}: ${name}`),
    '```',
  ].join('\n');
}

function tableOf({ next, meanings }: States): string {
  const rows = Object.entries(next).map(([name, to]) => `| \`${name}\` | ${meanings[name]} | ${followers(to)} |`);
  return ['| state | meaning | may be followed by |', '| --- | --- | --- |', ...rows].join('\n');
}

const idOf = (name: string): string => name.replace('-', '_');

function followers(next: readonly string[]): string {
  return next.length === 0 ? 'nothing' : next.map((to) => `\`${to}\``).join(', ');
}
