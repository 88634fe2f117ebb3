/** What costs a channel, or a consumer, and leaves the link as it is. */
import { reasonOf } from './reasons.js';
import { RmqError } from './rmq-error.js';

/** The broker refused to declare an entity (403, 404, 405, 406); it is skipped, named in status and retried. */
export class TopologyRefusedError extends RmqError {
  constructor(
    readonly entity: string,
    cause: unknown,
  ) {
    super(
      'RMQ_TOPOLOGY_REFUSED',
      `The broker refused to declare ${entity}: ${reasonOf(cause)}. Make the declaration match what exists, grant ` +
        'the right, or remove the old entity; it is retried meanwhile',
      { cause },
    );
  }
}

/** The broker refused basic.consume; the subscription is named in status and retried. */
export class ConsumeRefusedError extends RmqError {
  constructor(
    readonly subscription: string,
    readonly queue: string,
    cause: unknown,
  ) {
    super(
      'RMQ_CONSUME_REFUSED',
      `Subscription "${subscription}" cannot consume from queue "${queue}": ${reasonOf(cause)}. It is retried until it can`,
      { cause },
    );
  }
}

/**
 * The broker closes the whole connection over one entity or subscription, and does so again: it is left out, so that all
 * others can work, and asked for again on a link of its own.
 */
export class ClosesTheLinkError extends RmqError {
  constructor(
    /** `queue "orders"`, `subscription "Orders.onCreated"` ... */
    readonly culprit: string,
    cause: unknown,
  ) {
    super(
      'RMQ_CLOSES_THE_LINK',
      `The connection is closed whenever it comes to ${culprit}: ${reasonOf(cause)}. It is left out, so that ` +
        'nothing else suffers, and tried again on a connection of its own. Change how it is declared, or remove the ' +
        'message that cannot be delivered',
      { cause },
    );
  }
}

/** The broker answers others on the same link and not this one: its node may be away. It is named, and waited for. */
export class NoAnswerYetError extends RmqError {
  constructor(readonly entity: string) {
    super(
      'RMQ_NO_ANSWER_YET',
      `The broker has not answered for ${entity}, while it answers others on the same link. Its node may be away; ` +
        'the answer is waited for, and nothing else is held up',
    );
  }
}

/** The queue was not declared with a single active consumer by us: whoever consumes from it may be one of several. */
export class NotSingleActiveError extends RmqError {
  constructor(cause: Error) {
    const isWithout = cause.message.includes('x-single-active-consumer');
    const how = isWithout ? 'the broker has it without a single active consumer' : 'it could not be declared';
    const way = isWithout
      ? 'Delete the queue so that it is declared anew, use another name, or drop singleActive'
      : 'It is consumed from as soon as it is declared';
    super(
      'RMQ_NOT_SINGLE_ACTIVE',
      `${how} (see topology.refused), so several might consume from it at a time. ${way}`,
      { cause },
    );
  }
}

/** The broker cancelled the consumer: its queue was deleted, its node went away, or a delivery was in hand for too long. */
export class ConsumerCancelledError extends RmqError {
  constructor(
    readonly subscription: string,
    readonly queue: string,
    /** The age of the oldest delivery that was not settled yet: the broker does not say why, and a long one tells. */
    readonly oldestInHandMs?: number,
  ) {
    const inHand =
      oldestInHandMs === undefined ? '' : `: a delivery has been in hand for ${(oldestInHandMs / 1000).toFixed(1)} s`;
    super(
      'RMQ_CONSUMER_CANCELLED',
      `The broker cancelled the consumer of subscription "${subscription}" on queue "${queue}" (queue deleted, ` +
        `moved, or an acknowledgement timed out${inHand})`,
    );
  }
}

/** A dead-letter queue could not be read or emptied to the end. What was not moved by then is still in it. */
export class DeadLettersUnreachableError extends RmqError {
  constructor(
    readonly queue: string,
    cause: unknown,
  ) {
    super(
      'RMQ_DEAD_LETTERS_UNREACHABLE',
      `Dead letters of queue "${queue}" cannot be reached: ${reasonOf(cause)}. What was not moved yet is still ` +
        'there: try again when the connection is open',
      { cause },
    );
  }
}

/** There are only so many channels, and none is left. Whoever waits for one gets it when it is free. */
export class ChannelsExhaustedError extends RmqError {
  private constructor(
    /** Who has none, e.g. `subscription "orders"`. */
    readonly who: string,
    /** How many there may be. */
    readonly limit: number,
    whose: string,
    wayOut: string,
  ) {
    super(
      'RMQ_CHANNELS_EXHAUSTED',
      `No channel is left for ${who}: ${whose}, all of them taken or kept for publishing and declaring. It gets one ` +
        `as soon as one is free. ${wayOut}`,
    );
  }

  /** @param limit what connection.tune agreed on */
  static onLink(who: string, limit: number): ChannelsExhaustedError {
    return new ChannelsExhaustedError(
      who,
      limit,
      `the link has ${limit === 1 ? '1 channel' : `${limit} channels`} (channel_max)`,
      'For more, use a second connection with a name of its own, or raise channel_max at the broker (and channelMax ' +
        'in the URL, if it is there)',
    );
  }

  /** Of a user, or of a node, over all connections. */
  static ofLimit(who: string, { whose, limit }: { whose: 'user' | 'node'; limit: number }): ChannelsExhaustedError {
    const has = whose === 'user' ? 'the user of this connection' : 'a node of the broker';
    const wayOut =
      whose === 'user'
        ? 'For more, raise the limit max-channels of the user (rabbitmqctl set_user_limits), or give this service a user of its own'
        : 'For more, raise channel_max_per_node at the broker';
    return new ChannelsExhaustedError(
      who,
      limit,
      `${has} may have ${limit === 1 ? '1 channel' : `${limit} channels`} over all connections`,
      `${wayOut}; it is asked for now and then`,
    );
  }
}

/** A channel ended while the link lives. */
export class ChannelClosedError extends RmqError {
  constructor(what: string, cause: unknown) {
    super('RMQ_CHANNEL_CLOSED', `The channel of ${what} was closed: ${reasonOf(cause)}`, { cause });
  }
}
