import {
  Injectable,
  Logger,
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnModuleInit,
} from '@nestjs/common';
import type { AnswerOptions } from '../engine/rpc/answering/answer-options.js';
import { logEvents } from './connections/connection-logger.js';
import { HandlerInvoker } from './invoking/handler-invoker.js';
import {
  namingTheHandler,
  groupedByConsumer,
  toWantedSubscriptions,
  type HandlerSubscription,
} from './wanted-subscriptions.js';
import { RmqConnections } from './connections/rmq.connections.js';
import { describeRpcException } from './invoking/rpc-results.js';
import { LazyModules, tooLateSentence } from './discovery/lazy-modules.js';
import { type DiscoveredHandler, RmqExplorer } from './discovery/rmq.explorer.js';
import { onSecondSignal } from './second-signal.js';

/** Registers the handlers, starts the connections and drains them, each at its moment in the life of a Nest application. */
@Injectable()
export class RmqRegistrar implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown {
  readonly #logger = new Logger('RmqKeepalive');

  constructor(
    private readonly connections: RmqConnections,
    private readonly explorer: RmqExplorer,
    private readonly invoker: HandlerInvoker,
    private readonly lazyModules: LazyModules,
  ) {}

  /** Now every provider exists, and nothing is consumed yet. */
  onModuleInit(): void {
    if (!this.#isInCharge) return;
    for (const connection of this.connections.all) logEvents(connection);
    for (const { connection, topology } of this.connections.topologyWishes) {
      this.connections.get(connection, 'RmqKeepaliveModule.forFeature').addTopology(topology);
    }
    const handlers = this.explorer.explore();
    this.#warnOfOverlooked(handlers);
    const wanted = toWantedSubscriptions(handlers);
    for (const [first, ...others] of groupedByConsumer(wanted) as [HandlerSubscription, ...HandlerSubscription[]][])
      if (others.length === 0) this.#subscribe(first);
      else this.#answerEach([first, ...others]);
  }

  /** Now every `onModuleInit` has run, so handlers may be called. */
  async onApplicationBootstrap(): Promise<void> {
    if (!this.#isInCharge) return;
    try {
      await Promise.all(this.connections.needed.map((connection) => connection.start()));
    } catch (failure) {
      // The application will not run, and nobody else would close the connections that did start, or still try to.
      await this.#closeAll();
      throw failure;
    }
  }

  /** After this moment Nest closes the HTTP server and the microservice transports; until then handlers can use both. */
  async beforeApplicationShutdown(signal?: string): Promise<void> {
    if (!this.#isInCharge) return;
    if (signal === undefined) return this.#closeAll();
    const endListening = onSecondSignal(signal, () => this.#abortAll());
    try {
      await this.#closeAll();
    } finally {
      endListening();
    }
  }

  /** Not if another copy of this package in the same application is. */
  get #isInCharge(): boolean {
    return this.connections.isServedBy(this);
  }

  /** Nobody would miss them before the first message does. */
  #warnOfOverlooked(handlers: readonly DiscoveredHandler[]): void {
    const sentences = [...this.explorer.overlooked(), ...this.explorer.withoutDelivery(handlers)];
    for (const sentence of sentences) this.#logger.warn(sentence);
    const known = new Set(handlers.map(({ wrapper }) => wrapper));
    this.lazyModules.onLoaded(() => {
      const late = this.explorer.explore().filter(({ wrapper }) => !known.has(wrapper));
      for (const handler of late) this.#logger.warn(tooLateSentence(handler));
      for (const { wrapper } of late) known.add(wrapper);
    });
  }

  #subscribe(subscription: HandlerSubscription): void {
    const { handler, connection: name, options, batch, answers, where } = subscription;
    try {
      const connection = this.connections.get(name, where);
      const bound = this.invoker.handlerFor(handler, answers ? 'answer' : 'settlement');
      if (answers) connection.answer(options as AnswerOptions<never>, bound, { describeError: describeRpcException });
      else if (batch === undefined) connection.subscribe(options, bound);
      else connection.subscribeBatch({ ...options, batch }, bound);
    } catch (thrown) {
      throw namingTheHandler(thrown, subscription);
    }
  }

  /** One consumer for several handlers of requests. */
  #answerEach(subscriptions: readonly [HandlerSubscription, ...HandlerSubscription[]]): void {
    const [first] = subscriptions;
    const routes = subscriptions.map(({ handler, options, givenName }) => {
      const own = { ...(options as AnswerOptions<never>), name: givenName };
      return { options: own, handler: this.invoker.handlerFor(handler, 'answer') };
    });
    try {
      const connection = this.connections.get(first.connection, first.where);
      connection.answerEach(routes, { describeError: describeRpcException });
    } catch (thrown) {
      throw namingTheHandler(thrown, first);
    }
  }

  async #closeAll(): Promise<void> {
    await Promise.allSettled(this.connections.all.map((connection) => connection.close()));
  }

  #abortAll(): void {
    for (const connection of this.connections.abortable) void connection.abort();
  }
}
