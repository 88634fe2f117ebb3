/**
 * Several handlers that answer the requests of one queue: the routing key of a request says whose it is.
 *
 * Danger: with a consumer for each, the broker would give every request to either, whatever its routing key.
 * Choice: one subscription for all. Their options have to agree; what belongs to one of them (its address, its contract, to whom it
 * may answer) stays its own. A request that belongs to none is dead-lettered, and its caller hears of it.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Delivery } from '../../consuming/delivery/delivery.js';
import { Settlement } from '../../consuming/delivery/settlement.js';
import type { DeliveryHandler, FailureAnswers, SubscriptionOptions } from '../../consuming/options/subscription.js';
import { OptionsError } from '../../errors/options-error.js';
import { RpcFailure } from '../../errors/rpc-errors.js';
import { shown } from '../../base/option-checks.js';
import { matchesPattern } from '../../topology/wildcard-patterns.js';
import type { AnswerOptions } from './answer-options.js';

/** One of several handlers of a queue: which requests are its own, and who answers them. */
export interface AnswerRoute {
  readonly options: AnswerOptions<never>;
  readonly handler: DeliveryHandler<never>;
}

/** The answers to the requests of one route. */
interface RouteAnswers {
  readonly routingKeys: readonly string[];
  readonly handle: DeliveryHandler;
  readonly answers: FailureAnswers;
}

/** Of one handler alone. */
const OWN_OPTIONS = new Set([
  'name',
  'exchange',
  'exchangeType',
  'exchangeOptions',
  'routingKey',
  'bindingArguments',
  'bindings',
  'contract',
  'replyTo',
  'repeatHeaders',
  'clockToleranceMs',
]);

/** By what a route is told from the others. */
export function routingKeysOf({ contract, routingKey }: AnswerOptions<never>): readonly string[] {
  const key = contract?.routingKey ?? routingKey ?? [];
  return typeof key === 'string' ? [key] : key;
}

/** The options of the one subscription: all that is said by any of them, and every way to the queue. @throws {@link OptionsError} */
export function sharedAnswerOptions(routes: readonly AnswerRoute[]): AnswerOptions<never> {
  const [first] = routes as [AnswerRoute];
  const queue = first.options.queue ?? '';
  const shared: Record<string, unknown> = {};
  for (const { options } of routes)
    for (const [name, value] of Object.entries(options)) {
      if (OWN_OPTIONS.has(name) || value === undefined) continue;
      if (name in shared && !isDeepStrictEqual(shared[name], value))
        throw new OptionsError(
          `rpc ${shown(queue)}.${name}`,
          `the handlers of the queue want it differently: ${shown(shared[name])} and ${shown(value)}`,
          'Give it once, or the same to each',
        );
      shared[name] = value;
    }
  const names = routes.flatMap(({ options }) => options.name ?? []);
  const ways = routes.flatMap(({ options }) => [...waysOf(options), ...(options.bindings ?? [])]);
  return { ...shared, name: names[0] ?? queue, bindings: ways };
}

/** None: what is asked goes to the queue directly. */
function waysOf(options: AnswerOptions<never>): NonNullable<SubscriptionOptions['bindings']> {
  const { contract, exchangeType, exchangeOptions, bindingArguments } = options;
  const exchange = contract?.exchange ?? options.exchange ?? '';
  if (exchange === '') return [];
  return [{ exchange, exchangeType, exchangeOptions, bindingArguments, routingKey: routingKeysOf(options) }];
}

/** Hands each request to the route that it belongs to. */
export function routedAnswers(routes: readonly RouteAnswers[]): Omit<RouteAnswers, 'routingKeys'> {
  const [first] = routes as [RouteAnswers];
  const byKey = new Map(routes.flatMap((route) => route.routingKeys.map((key) => [key, route] as const)));
  const routeOf = ({ routingKey }: Delivery): RouteAnswers | undefined =>
    byKey.get(routingKey) ??
    routes.find(({ routingKeys }) => routingKeys.some((pattern) => matchesPattern(pattern, routingKey)));
  return {
    handle: (payload, delivery) => {
      const route = routeOf(delivery);
      return route === undefined
        ? Settlement.refuse('no-handler', nobodyAnswers(delivery))
        : route.handle(payload, delivery);
    },
    answers: {
      // All of one connection judge alike.
      isDeliberate: (error) => first.answers.isDeliberate(error),
      answer: (delivery, reason, error) => (routeOf(delivery) ?? first).answers.answer(delivery, reason, error),
    },
  };
}

function nobodyAnswers({ queue, routingKey }: Delivery): RpcFailure {
  return new RpcFailure(`No handler of queue "${queue}" answers requests with the routing key "${routingKey}"`, {
    code: 'no-handler',
  });
}
