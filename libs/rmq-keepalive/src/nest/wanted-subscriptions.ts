/** From handlers found to subscriptions wanted: defaults, and a refusal of what cannot be meant. */
import type { BatchOptions } from '../engine/consuming/options/handling-options.js';
import { SUBSCRIPTION_OPTION_NAMES, type SubscriptionOptions } from '../engine/consuming/options/subscription.js';
import { OptionsError } from '../engine/errors/options-error.js';
import { ANSWER_OPTION_NAMES, type AnswerOptions } from '../engine/rpc/answering/answer-options.js';
import { routingKeysOf } from '../engine/rpc/answering/answer-routes.js';
import { checkBoolean, checkOptionsObject, shown } from '../engine/base/option-checks.js';
import { DEFAULT_CONNECTION_NAME } from './connections/connection-tokens.js';
import type { WrittenSubscription } from './decorators/subscribe.decorator.js';
import { handlerName, type DiscoveredHandler } from './discovery/rmq.explorer.js';

export interface HandlerSubscription {
  readonly handler: DiscoveredHandler;
  readonly connection: string;
  readonly competing: boolean;
  /** For errors: `@Subscribe on OrdersConsumer.onCreated`. */
  readonly where: string;
  readonly options: SubscriptionOptions<never>;
  /** Of `@SubscribeBatch`. */
  readonly batch: BatchOptions | undefined;
  /** Of `@Rpc`. */
  readonly answers: boolean;
  /** The name that it was given; in its options is one in any case. */
  readonly givenName: string | undefined;
}

const NEST_OPTION_NAMES = ['connection', 'competing'];
const OPTION_NAMES: Record<WrittenSubscription['decorator'], readonly string[]> = {
  '@Subscribe': [...SUBSCRIPTION_OPTION_NAMES, ...NEST_OPTION_NAMES, 'batch'],
  '@SubscribeBatch': [...SUBSCRIPTION_OPTION_NAMES, ...NEST_OPTION_NAMES, 'batch'],
  '@Rpc': [...ANSWER_OPTION_NAMES, ...NEST_OPTION_NAMES],
};

/** One for every decorator; named `Class.method` unless it has a name of its own. @throws {@link OptionsError} */
export function toWantedSubscriptions(handlers: readonly DiscoveredHandler[]): HandlerSubscription[] {
  const wanted = handlers.flatMap((handler) => handler.subscriptions.map((subscribe) => ({ handler, subscribe })));
  const names = new DefaultNames(wanted);
  return wanted.map(({ handler, subscribe }) => {
    const where = `${subscribe.decorator} on ${handlerName(handler)}`;
    checkWritten(subscribe, where);
    const { connection = DEFAULT_CONNECTION_NAME, competing = false, batch, ...options } = subscribe.options;
    const name = options.name ?? names.next(handler, options.queue);
    return {
      handler,
      connection,
      competing,
      where,
      batch,
      answers: subscribe.decorator === '@Rpc',
      givenName: options.name,
      options: { ...options, name },
    };
  });
}

/** What the engine cannot know: which decorator was written, and the options that are Nest's. */
function checkWritten({ decorator, options }: WrittenSubscription, where: string): void {
  checkOptionsObject(options, OPTION_NAMES[decorator], where);
  const { batch, competing } = options;
  if (decorator === '@SubscribeBatch' && batch === undefined)
    throw new OptionsError(where, 'it has no batch', 'Give batch: { size: 100 }, or use @Subscribe');
  if (decorator === '@Subscribe' && batch !== undefined)
    throw new OptionsError(where, '@Subscribe hands over one message at a time', 'Use @SubscribeBatch, or drop batch');
  if (competing !== undefined) checkBoolean(competing, `${where}, competing`);
}

/**
 * `Class.method`, with the queue where that is not enough to tell subscriptions apart (several on one method, or two
 * classes of one name), and a number where that is not enough either (two instances that compete on purpose).
 */
class DefaultNames {
  readonly #wishes = new Map<string, number>();
  readonly #given = new Map<string, number>();

  constructor(wanted: readonly { handler: DiscoveredHandler }[]) {
    for (const { handler } of wanted) count(this.#wishes, handlerName(handler));
  }

  next(handler: DiscoveredHandler, queue: string): string {
    const short = handlerName(handler);
    if (this.#wishes.get(short) === 1) return short;
    const long = `${short}(${queue === '' ? 'server-named' : queue})`;
    const times = count(this.#given, long);
    return times === 1 ? long : `${long} #${times}`;
  }
}

function count(counts: Map<string, number>, key: string): number {
  const times = (counts.get(key) ?? 0) + 1;
  counts.set(key, times);
  return times;
}

/**
 * Consumers of one queue share its messages: each message goes to one of them, in turn, whatever its routing key. Whoever
 * writes two handlers for one queue seldom means that. Handlers of requests with a routing key of their own are told apart by
 * it here: one consumer takes all requests, and hands each to its handler.
 * @returns what is to be subscribed, each in a group of its own but for those
 * @throws {@link OptionsError} naming the handlers
 */
export function groupedByConsumer(wanted: readonly HandlerSubscription[]): HandlerSubscription[][] {
  return groupedByQueue(wanted).flatMap((rivals) => {
    if (rivals.length < 2 || rivals.every((rival) => rival.competing)) return rivals.map((one) => [one]);
    if (areToldApartByKey(rivals)) return [rivals];
    throw competitionError(rivals);
  });
}

function areToldApartByKey(rivals: readonly HandlerSubscription[]): boolean {
  const keys = rivals.map(({ options }) => routingKeysOf(options as AnswerOptions<never>));
  const all = keys.flat();
  const isEachAddressed = rivals.every(({ answers, competing }, at) => answers && !competing && keys[at]!.length > 0);
  return isEachAddressed && new Set(all).size === all.length;
}

function groupedByQueue(wanted: readonly HandlerSubscription[]): HandlerSubscription[][] {
  const groups = new Map<unknown, HandlerSubscription[]>();
  for (const subscription of wanted) {
    const { connection, options } = subscription;
    // Every subscription on a server-named queue gets a queue of its own.
    const key = options.queue === '' ? subscription : JSON.stringify([connection, options.queue]);
    groups.set(key, [...(groups.get(key) ?? []), subscription]);
  }
  return [...groups.values()];
}

function competitionError(rivals: readonly HandlerSubscription[]): OptionsError {
  const [first] = rivals as [HandlerSubscription];
  const { handler, options } = first;
  const isOneMethod = rivals.every((rival) => handlerName(rival.handler) === handlerName(handler));
  const isOneHost = rivals.every((rival) => rival.handler.wrapper === handler.wrapper);
  const queue = `queue ${shown(options.queue)}`;
  if (isOneMethod && !isOneHost) {
    const modules = rivals.map((rival) => rival.handler.module.name).join(' and ');
    return new OptionsError(
      first.where,
      `${handler.className} has ${rivals.length} instances (in ${modules}) that would share the messages of ${queue}`,
      `Provide ${handler.className} in one module and export it, or set competing: true if any of the instances may take any message`,
    );
  }
  const names = rivals.map((rival) => handlerName(rival.handler)).join(' and ');
  return new OptionsError(
    first.where,
    `${names} consume from ${queue} on connection ${shown(first.connection)}, so the broker would give each ` +
      'message to one of them in turn, whatever its routing key',
    (rivals.every(({ answers }) => answers) ? 'Give every handler a routing key of its own, ' : 'Give every handler ') +
      'a queue of its own, or set competing: true on each if any of them may take any message',
  );
}

/** The engine knows a subscription by its name only; who gave it one of its own wants to know the method. */
export function namingTheHandler(thrown: unknown, { handler, where }: HandlerSubscription): unknown {
  if (!(thrown instanceof OptionsError) || thrown.message.includes(handlerName(handler))) return thrown;
  const [problem = '', ...wayOut] = thrown.message.split('. ');
  return new OptionsError(where, problem, wayOut.join('. '));
}
