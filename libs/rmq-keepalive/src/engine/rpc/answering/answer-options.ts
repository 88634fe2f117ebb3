/** What is wanted of a handler that answers: a subscription, and what may be answered to whom. */
import { SUBSCRIPTION_OPTION_NAMES, type SubscriptionOptions } from '../../consuming/options/subscription.js';
import { isRpcContract, type RpcContract } from '../../contracts/rpc.js';
import { OptionsError } from '../../errors/options-error.js';
import { checkNumber, shown } from '../../base/option-checks.js';
import { ReplyAddresses } from '../wire/reply-addresses.js';
import { RepeatedHeaders } from './repeated-headers.js';

/** @typeParam T what the requests are said to be; only a contract with a schema checks it */
export interface AnswerOptions<T = unknown> extends Omit<
  SubscriptionOptions<T>,
  'queue' | 'event' | 'deduplicate' | 'ack'
> {
  /** The queue of the requests. @default the contract's, if it names one */
  queue?: string;
  /**
   * The procedure, made by `defineRpc`, in the place of `exchange` and `routingKey`; its schemas check requests and answers.
   * @default none
   */
  contract?: RpcContract;
  /**
   * How the names of queues begin that replies may go to, beside direct reply-to addresses. A request that wants its reply
   * elsewhere is dead-lettered as `reply-to-refused`: a client that may send you a request must not make you publish to any queue.
   * @default none: direct reply-to only
   */
  replyTo?: readonly string[];
  /**
   * Headers of a request that are repeated on its reply, whatever their case, because callers look for them there. Texts, numbers
   * and booleans only. @default ['x-request-id', 'x-correlation-id']
   */
  repeatHeaders?: readonly string[];
  /**
   * How far the caller's clock may be behind yours. A request is dropped unhandled when its deadline, by the caller's clock, has been
   * over for longer; `Infinity`: never. Too little: a request from a machine whose clock is slow is never answered. Too much: a handler
   * works for a caller that has gone.
   * @default 2_000
   */
  clockToleranceMs?: number;
  /** `auto`: acked when the reply was handed to the socket. `none`: the broker forgets a request as soon as it is sent. @default 'auto' */
  ack?: 'auto' | 'none';
}

/** Those that make no sense here are refused with a reason of their own. */
export const ANSWER_OPTION_NAMES = [
  ...SUBSCRIPTION_OPTION_NAMES,
  'contract',
  'replyTo',
  'repeatHeaders',
  'clockToleranceMs',
] as const;

interface WantedAnswers {
  readonly subscription: SubscriptionOptions<never>;
  readonly addresses: ReplyAddresses;
  readonly repeated: RepeatedHeaders;
  readonly clockToleranceMs: number;
  readonly contract: RpcContract | undefined;
}

/** @throws {@link OptionsError}; of the subscription's own options, its subscribing does */
export function resolveAnswers<T>(options: AnswerOptions<T>): WantedAnswers {
  const { contract, replyTo = [], repeatHeaders, clockToleranceMs = 2_000, ack = 'auto', queue, ...others } = options;
  const path = `rpc ${shown(options.name ?? queue ?? contract?.routingKey)}`;
  if (contract !== undefined && !isRpcContract(contract))
    throw new OptionsError(
      `${path}.contract`,
      `${shown(contract)} is no contract`,
      'Give what defineRpc({ ... }) returned',
    );
  if (ack !== 'auto' && ack !== 'none')
    throw new OptionsError(`${path}.ack`, `${shown(ack)}: the reply is what settles a request`, "Use 'auto' or 'none'");
  if ('deduplicate' in others)
    throw new OptionsError(
      `${path}.deduplicate`,
      'a copy that is skipped is a caller without an answer',
      'Drop it, and make the handler answer a repeated request as it did the first time',
    );
  checkNumber(
    clockToleranceMs,
    { min: 0, max: 86_400_000, unit: 'milliseconds', orInfinity: true },
    `${path}.clockToleranceMs`,
  );
  const direct = contract?.exchange === '' ? contract.routingKey : undefined;
  return {
    subscription: {
      ...(others as Omit<SubscriptionOptions<never>, 'queue'>),
      queue: queue ?? direct ?? (undefined as unknown as string),
      ...(contract === undefined ? {} : { event: contract.request }),
      // The reply settles it: until that is written the request counts as running, without a promise for each.
      ack: ack === 'auto' ? 'manual' : 'none',
    },
    addresses: new ReplyAddresses(replyTo, `${path}.replyTo`),
    repeated: new RepeatedHeaders(repeatHeaders, `${path}.repeatHeaders`),
    clockToleranceMs,
    contract,
  };
}
