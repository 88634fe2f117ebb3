/**
 * `npm run test:ecosystem -- --report`: prints the rows that the specs noted, and writes them to `docs/compatibility.md` when the
 * whole lane has passed. The words around the tables are here.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const PAGE = 'docs/compatibility.md';

const HEAD = `# Compatibility

This page is written by \`npm run test:ecosystem -- --report\`, from what it ran: each row is a program with the real packages of
these versions and this library as it is packed for the registry, against a real RabbitMQ.
`;

/** In the page's order. A topic that is not here comes at the end, without a sentence. */
const TOPICS = {
  Installing: 'The install lines of the documentation, in a fresh project.',
  Loading: 'The package loaded by the runtimes, loaders and package managers that services are started with.',
  'Tests of a service': 'A unit test of a consumer, with nothing configured for this package.',
  Bundlers:
    "A service in one bundle: it starts, consumes, and with `heartbeat.thread: 'worker'` holds its connection through a block of three heartbeats.",
  Types: 'The published declarations.',
  Nest: 'Nest itself, and modules for it.',
  Tracing: 'What instruments amqplib or Nest beside this library.',
  Clients: 'Other libraries on the same broker.',
  'Messages of others':
    'Clients in other languages, and other protocols. What they make of each other is in [Messages of others](interop.md).',
};

export default class CompatibilityReport {
  onRunComplete(_contexts, results) {
    const { RMQ_ECOSYSTEM_REPORT: wish, RMQ_ECOSYSTEM_ROWS: folder } = process.env;
    if (wish === undefined || !existsSync(folder)) return;
    const rows = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')));
    const page = pageOf(rows);
    process.stderr.write(`\n${page}\n`);
    if (wish === 'print') return;
    // Jest says `success` only after its reporters.
    const { numFailedTests, numRuntimeErrorTestSuites, wasInterrupted } = results;
    if (numFailedTests + numRuntimeErrorTestSuites > 0 || wasInterrupted)
      return void process.stderr.write(`${PAGE} stays as it is: not everything passed.\n`);
    writeFileSync(PAGE, page);
    process.stderr.write(`${PAGE} is written.\n`);
  }
}

/** @param rows as `rows.ts` notes them */
export function pageOf(rows) {
  const topics = [...new Set([...Object.keys(TOPICS), ...rows.map(({ topic }) => topic).sort()])];
  const parts = topics.map((topic) => partOf(topic, rowsOf(topic, rows))).filter((part) => part !== '');
  return [HEAD, ...parts].join('\n');
}

function rowsOf(topic, rows) {
  const keyOf = ({ what, packages, node }) => [what, packages.join(), node.padStart(10)].join();
  return rows.filter((row) => row.topic === topic).sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function partOf(topic, rows) {
  if (rows.length === 0) return '';
  const lines = rows.map(({ what, packages, node, result }) => [what, packages.join(', '), node, result]);
  const table = [['what', 'with', 'Node', 'result'], ['---', '---', '---', '---'], ...lines];
  const sentence = TOPICS[topic] === undefined ? [] : [TOPICS[topic], ''];
  return [`## ${topic}`, '', ...sentence, ...table.map((cells) => `| ${cells.join(' | ')} |`), ''].join('\n');
}
