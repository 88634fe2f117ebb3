/** The RPC of a connection: everything that asks or answers over its publishing link. */
import type { ConsumeMessage } from 'amqplib';
import type { Clock } from '../base/clock.js';
import { isThenable } from '../base/thenable.js';
import type { Codec } from '../codec/codec.js';
import { Settlement } from '../consuming/delivery/settlement.js';
import type { DeliveryHandler, FailureAnswers, SubscriptionOptions } from '../consuming/options/subscription.js';
import { checkAgainst, type EventContract } from '../contracts/event.js';
import { OptionsError } from '../errors/options-error.js';
import { checkNumber, checkOptionsObject, shown } from '../base/option-checks.js';
import { UNBOUNDED } from '../publishing/sending/outbox.js';
import type { Publishers } from '../publishing/publishers.js';
import type { RpcStatus } from '../reporting/status.js';
import { type AnswerOptions, resolveAnswers } from './answering/answer-options.js';
import { type AnswerRoute, routedAnswers, routingKeysOf, sharedAnswerOptions } from './answering/answer-routes.js';
import type { CallWatch } from './calling/call.js';
import { Calls, type CallsStatus, NO_CALLS, type ResolvedCallsOptions } from './calling/calls.js';
import { ChannelRpcClient } from './calling/channel-rpc-client.js';
import type { RemoteErrorFields } from '../errors/rpc-errors.js';
import { Replies } from './answering/replies.js';
import { Responder, type ResponderCounters } from './answering/responder.js';
import type { RmqRpcClient } from './calling/rpc-client.js';
import type { ResolvedRpc } from './wire/rpc-options.js';
import { DIRECT_REPLY_TO } from './wire/rpc-wire.js';

/** Options of `connection.openCalls()`. */
export interface CallsOptions {
  /** Shown in errors. */
  name: string;
  /** A queue that exists, to hear replies on; it must be read by nobody else. @default direct reply-to, a queue of nobody */
  replyQueue?: string;
  /** Calls outstanding at a time; a further one is refused with RMQ_RPC_TOO_MANY_CALLS. 1..1_000_000 @default 10_000 */
  maxCalls?: number;
}

interface RpcNeeds {
  readonly publishers: Publishers;
  readonly clock: Clock;
  readonly codec: Codec;
  readonly options: ResolvedRpc;
  readonly maxMessageBytes: number;
  readonly watch: CallWatch | undefined;
}

/** Beside the options: what a framework knows of its own errors. */
export interface AnswerHabits {
  /** What to tell of an error that was thrown on purpose; `undefined` of all others, which are told by name and message. */
  describeError?: (thrown: unknown) => RemoteErrorFields | undefined;
}

export class Rpc {
  /** The one that is always there; its channel is opened with the first call. */
  readonly client: RmqRpcClient;
  readonly #needs: RpcNeeds;
  readonly #asking = new Set<Calls>();
  #replies: Replies | undefined;
  readonly #answering: ResponderCounters = { expired: 0, replyToRefused: 0, failed: 0, streaming: 0 };

  constructor(needs: RpcNeeds) {
    this.#needs = needs;
    const { codec, clock, maxMessageBytes } = needs;
    const { timeoutMs, maxCalls } = needs.options;
    const openCalls = (late: (message: ConsumeMessage) => void): Calls =>
      this.openCalls({ name: 'rpc', maxCalls }, late);
    this.client = new ChannelRpcClient({ openCalls, codec, clock, timeoutMs, maxMessageBytes });
  }

  /** A channel for calls of its own; opened with the first of them. @throws {@link OptionsError} */
  openCalls(options: CallsOptions, late?: (message: ConsumeMessage) => void): Calls {
    const { publishers, clock, watch } = this.#needs;
    const calls = new Calls({ ...resolveCalls(options), late, watch }, publishers, clock, () =>
      this.#asking.delete(calls),
    );
    this.#asking.add(calls);
    return calls;
  }

  /** The channel for replies; opened with the first of them. */
  get replies(): Replies {
    return (this.#replies ??= this.#openReplies());
  }

  /** What to subscribe, and with which handler, so that requests are answered. @throws {@link OptionsError} */
  answering<T>(
    options: AnswerOptions<T>,
    handler: DeliveryHandler<T>,
    { describeError = () => undefined }: AnswerHabits = {},
  ): { subscription: SubscriptionOptions<never>; handle: DeliveryHandler; answers: FailureAnswers } {
    const { subscription, ...wanted } = resolveAnswers(options);
    const { codec, clock, maxMessageBytes } = this.#needs;
    const { replies } = this;
    const counters = this.#answering;
    const { handle, answers } = new Responder(
      { ...wanted, replies, codec, clock, maxMessageBytes, describeError, counters },
      handler,
    );
    return { subscription: takingNothing(subscription, codec), handle, answers };
  }

  /** As {@link answering}, of several handlers for one queue, which their routing keys tell apart. @throws {@link OptionsError} */
  answeringEach(routes: readonly AnswerRoute[], habits?: AnswerHabits): ReturnType<Rpc['answering']> {
    const each = routes.map(({ options, handler }) => {
      const { contract } = options;
      const checked = contract === undefined ? handler : checkedBefore(contract.request, handler);
      const { handle, answers } = this.answering(options, checked, habits);
      return { routingKeys: routingKeysOf(options), handle, answers };
    });
    const { subscription } = resolveAnswers(sharedAnswerOptions(routes));
    return { subscription: takingNothing(subscription, this.#needs.codec), ...routedAnswers(each) };
  }

  get status(): RpcStatus {
    const asked: Record<keyof CallsStatus, number> = { ...NO_CALLS };
    for (const { status } of this.#asking)
      for (const name of Object.keys(asked) as (keyof CallsStatus)[]) asked[name] += status[name];
    const { sent: repliesSent, failed: repliesLost } = this.#replies?.status ?? { sent: 0, failed: 0 };
    const { failed: errorsSent, expired, replyToRefused, streaming } = this.#answering;
    return { ...asked, repliesSent, repliesLost, errorsSent, expired, replyToRefused, streaming };
  }

  /** Resolves when no call is outstanding any more. */
  async untilIdle(): Promise<void> {
    await Promise.all([...this.#asking].map((calls) => calls.untilIdle()));
  }

  /** Ends what is outstanding. @returns how many calls that were */
  giveUp(): number {
    this.#replies?.calls.giveUp();
    return [...this.#asking].reduce((sum, calls) => sum + calls.giveUp(), 0);
  }

  #openReplies(): Replies {
    const { publishers, clock } = this.#needs;
    // Each stream that is sent is a call. The concurrency of the handlers is the bound of both, and a reply that was refused
    // would leave its caller waiting.
    const options = { name: 'replies', replyQueue: DIRECT_REPLY_TO, maxCalls: Infinity, outbox: UNBOUNDED };
    const calls = new Calls(options, publishers, clock, () => undefined);
    calls.reserveChannel();
    return new Replies(calls);
  }
}

/** A request without a body is one with the payload `undefined`, as a reply is. */
function takingNothing(subscription: SubscriptionOptions<never>, codec: Codec): SubscriptionOptions<never> {
  const own = subscription.codec ?? codec;
  // One that cannot decode is refused by the subscription.
  if (typeof own.decode !== 'function') return subscription;
  const decode: Codec['decode'] = (body, properties) =>
    body.length === 0 && properties.contentType === undefined ? undefined : own.decode(body, properties);
  return { ...subscription, codec: { decode } };
}

/** The schema of one handler of several, in front of it: what does not match it is dead-lettered, as everywhere. */
function checkedBefore(request: EventContract, handler: DeliveryHandler<never>): DeliveryHandler {
  const call = handler as DeliveryHandler;
  const refused = (thrown: unknown): Settlement => Settlement.refuse('not-valid', thrown);
  return (payload, delivery) => {
    let checked: unknown;
    try {
      checked = checkAgainst(request, payload);
    } catch (thrown) {
      return refused(thrown);
    }
    if (!isThenable(checked)) return call(checked, delivery);
    return Promise.resolve(checked).then((valid) => call(valid, delivery), refused);
  };
}

function resolveCalls(options: CallsOptions): ResolvedCallsOptions {
  checkOptionsObject(options, ['name', 'replyQueue', 'maxCalls'], 'openCalls');
  const { name, replyQueue = DIRECT_REPLY_TO, maxCalls = 10_000 } = options;
  for (const [option, value] of Object.entries({ name, replyQueue }))
    if (typeof value !== 'string' || value === '')
      throw new OptionsError(`openCalls.${option}`, `${shown(value)} is not a name`, 'Give one');
  checkNumber(maxCalls, { min: 1, max: 1_000_000, unit: 'calls', integer: true }, 'openCalls.maxCalls');
  return { name, replyQueue, maxCalls };
}
