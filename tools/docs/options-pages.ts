/** Renders the pages of the options from the TSDoc of their interfaces. */
import { interfacesByName, type Option, type OptionInterface } from './option-interfaces.js';

interface Section {
  readonly name: string;
  /** Where a reader writes it. */
  readonly where: string;
}

interface Page {
  readonly path: string;
  readonly title: string;
  readonly opening: string;
  readonly sections: readonly Section[];
}

const at = (name: string, where: string): Section => ({ name, where });

const PAGES: readonly Page[] = [
  {
    path: 'docs/reference/options.md',
    title: 'Options of a connection',
    opening:
      'Look up an option of `RmqKeepaliveModule.forRoot()`, of `new RmqConnection()`, or of the health module. Others: [options of handlers](options-consuming.md), [of publishing and calling](options-publishing.md), [of queues](options-topology.md).',
    sections: [
      at('RmqConnectionOptions', '`forRoot({ ... })`, `new RmqConnection({ ... })`'),
      at('RmqModuleExtras', '`forRoot({ ... })` beside the options of the connection'),
      at('BrokerAddress', '`urls: [{ ... }]`'),
      at('RmqCredentials', '`credentials: { ... }`'),
      at('ExpiringCredentials', 'the result of a function in `credentials`'),
      at('HeartbeatOptions', '`heartbeat: { ... }`'),
      at('ReconnectOptions', '`reconnect: { ... }`'),
      at('JsonCodecOptions', '`json: { ... }`, `new JsonCodec({ ... })`'),
      at('CopyOptions', '`copies: { ... }`'),
      at('RmqHealthOptions', '`RmqHealthModule.forRoot({ ... })`'),
      at('RmqHealthCheckOptions', '`rmqHealth.check(key, { ... })`'),
    ],
  },
  {
    path: 'docs/reference/options-topology.md',
    title: 'Options of exchanges, queues and bindings',
    opening: 'Look up how an exchange, a queue or a binding is declared.',
    sections: [
      at('TopologyOptions', '`topology: { ... }`, `forFeature({ ... })`, `connection.declareTopology({ ... })`'),
      at('ExchangeOptions', '`topology.exchanges`, `exchangeOptions` of a subscription'),
      at('QueueOptions', '`topology.queues`, `queueOptions` of a subscription'),
      at('BindingOptions', '`topology.bindings`'),
    ],
  },
  {
    path: 'docs/reference/options-consuming.md',
    title: 'Options of handlers',
    opening:
      'Look up an option of `@Subscribe()`, `@SubscribeBatch()`, `@Rpc()`, `connection.subscribe()`, or of the dead letters.',
    sections: [
      at('SubscriptionOptions', '`@Subscribe({ ... })`, `connection.subscribe({ ... })`'),
      at('HandlingOptions', '`@Subscribe({ ... })`, likewise'),
      at('SubscriptionBinding', '`bindings: [{ ... }]`'),
      at('SubscribeOptions', '`@Subscribe({ ... })`, `@SubscribeBatch({ ... })`, `@Rpc({ ... })`'),
      at('SubscribeBatchOptions', '`@SubscribeBatch({ ... })`'),
      at('BatchSubscriptionOptions', '`connection.subscribeBatch({ ... })`'),
      at('BatchOptions', '`batch: { ... }`'),
      at('RetryOptions', '`retry: { ... }`'),
      at('RetryInOptions', '`Settlement.retryIn(ms, { ... })`'),
      at('DeduplicationOptions', '`deduplicate: { ... }`'),
      at('AnswerOptions', '`@Rpc({ ... })`, `connection.answer({ ... })`'),
      at('RpcHandlerOptions', '`@Rpc({ ... })`'),
      at('ListOptions', '`deadLetters.list(queue, { ... })`'),
      at('ReplayOptions', '`deadLetters.replay(queue, { ... })`'),
    ],
  },
  {
    path: 'docs/reference/options-publishing.md',
    title: 'Options of publishing and calling',
    opening: 'Look up an option of a publisher, of one message, or of one call.',
    sections: [
      at('ConnectionPublishOptions', '`publish: { ... }` of a connection'),
      at('PublisherDefaults', '`publish: { ... }` of a connection, or of `createPublisher()`'),
      at('PublishDefaults', '`publish: { ... }`, and the options of each message'),
      at('CompressOptions', '`compress: { ... }`'),
      at('OutboxOptions', '`outbox: { ... }`'),
      at('PublishOptions', '`publish(exchange, routingKey, payload, { ... })`'),
      at('CreatePublisherOptions', '`connection.createPublisher({ ... })`'),
      at('PublishManyOptions', '`publishMany(messages, { ... })`'),
      at('WhenReadyOptions', '`whenReady({ ... })`'),
      at('EventOptions', '`defineEvent({ ... })`'),
      at('RpcOptions', '`rpc: { ... }` of a connection'),
      at('RpcRequestOptions', '`rpc.request(address, payload, { ... })`'),
      at('RpcStreamOptions', '`rpc.stream(address, payload, { ... })`'),
      at('RpcProperties', '`properties: { ... }` of a request'),
      at('ReplyProperties', '`Reply.with(payload, { ... })`'),
    ],
  },
];

/** By path, the pages as they should be. @throws for an option without a text, a number without a unit, a choice without a default */
export function optionsPages(): ReadonlyMap<string, string> {
  const interfaces = interfacesByName();
  const complaints = PAGES.flatMap(({ sections }) => sections).flatMap(({ name }) => {
    const found = interfaces.get(name);
    return found === undefined ? [`there is no interface ${name}`] : complaintsAbout(found);
  });
  if (complaints.length > 0) throw new Error(`Mend the TSDoc:\n${complaints.join('\n')}`);
  return new Map(PAGES.map((page) => [page.path, rendered(page, interfaces)]));
}

/** The interfaces that stand on a page. */
export const PRINTED: ReadonlySet<string> = new Set(PAGES.flatMap(({ sections }) => sections.map(({ name }) => name)));

function complaintsAbout({ name, options }: OptionInterface): string[] {
  return options.flatMap((option) => {
    const lacks = [
      ...(option.text === '' ? ['says nothing'] : []),
      ...(!option.isRequired && option.byDefault === '' ? ['has no @default'] : []),
      ...(/\bnumber\b/.test(option.type) && option.unit === '' ? ['has no unit (@unit, or the end of its name)'] : []),
    ];
    return lacks.map((lack) => `${name}.${option.name} ${lack}`);
  });
}

function rendered(page: Page, interfaces: ReadonlyMap<string, OptionInterface>): string {
  const sections = page.sections.map((section) => renderedSection(section, interfaces.get(section.name)!));
  return `<!-- Printed by \`npm run docs:options\` from the TSDoc of the interfaces. Edit that. -->

# ${page.title}

${page.opening}

${sections.join('\n')}`;
}

function renderedSection({ name, where }: Section, { text, bases, options }: OptionInterface): string {
  const also = bases.length === 0 ? '' : ` It also has the options of ${bases.map(linked).join(' and ')}.`;
  const about = `${text === '' ? '' : `${text.replace(/\s+/g, ' ')} `}You write it in ${where}.${also}`;
  const rows = options.map((option) => `| ${cellsOf(option).map(escaped).join(' | ')} |\n`).join('');
  const table =
    options.length === 0 ? '' : `\n| option | type, unit | default | meaning |\n| --- | --- | --- | --- |\n${rows}`;
  return `## ${name}\n\n${about}\n${table}`;
}

function cellsOf({ name, isRequired, type, unit, byDefault, text }: Option): string[] {
  const measured = unit === '' ? linkedType(type) : `${linkedType(type)}, ${unit}`;
  return [`\`${name}\``, measured, isRequired ? '**required**' : byDefault, inCell(text)];
}

/** Links to the interface that a type names, if it names one. */
function linkedType(type: string): string {
  const names = [...PRINTED].filter((name) => new RegExp(`\\b${name}\\b`).test(type));
  const target = names.length === 1 ? targetOf(names[0] as string) : undefined;
  return target === undefined ? `\`${type}\`` : `[\`${type}\`](${target})`;
}

function targetOf(name: string): string | undefined {
  const page = PAGES.find(({ sections }) => sections.some((section) => section.name === name));
  return page && `${page.path.replace('docs/reference/', '')}#${name.toLowerCase()}`;
}

/** Paragraphs and lists, in one line. */
function inCell(text: string): string {
  return text
    .replace(/\n\s*- /g, '<br>• ')
    .replace(/\n\s*\n/g, '<br>')
    .replace(/\s+/g, ' ');
}

const escaped = (cell: string): string => cell.replaceAll('|', '\\|');

/** `Omit<SubscriptionOptions<T>, 'queue'>` -> a link, and what is left out. */
function linked(base: string): string {
  const name = /\b\w+(?:Options|Defaults)\b|\bRmqCredentials\b/.exec(base)?.[0] ?? base;
  const names = [...base.matchAll(/'(\w+)'/g)].map(([, option]) => `\`${option}\``).join(', ');
  const target = targetOf(name);
  const link = target === undefined ? `\`${name}\`` : `[\`${name}\`](${target})`;
  if (base.startsWith('Pick')) return `${names} of ${link}`;
  return base.startsWith('Omit') ? `${link} (without ${names})` : link;
}
