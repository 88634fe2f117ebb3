/**
 * Every error this library makes, ordered by blast radius: one message, one channel, the connection, the boot.
 * `code` is stable and meant for programs; the message says what failed, with which values, and the way out.
 * No message carries a payload, a password or an unredacted URL.
 */
export type RmqErrorCode =
  | 'RMQ_PAYLOAD_NOT_ENCODABLE'
  | 'RMQ_PAYLOAD_NOT_DECODABLE'
  | 'RMQ_DEDUPLICATION_FAILED'
  | 'RMQ_HANDLER_TIMEOUT'
  | 'RMQ_PAYLOAD_TOO_LARGE'
  | 'RMQ_PAYLOAD_INVALID'
  | 'RMQ_POISON_MESSAGE'
  | 'RMQ_DEAD_LETTERS_UNREACHABLE'
  | 'RMQ_PUBLISH_NACKED'
  | 'RMQ_PUBLISH_RETURNED'
  | 'RMQ_PUBLISH_REFUSED'
  | 'RMQ_PUBLISH_TIMEOUT'
  | 'RMQ_PUBLISH_ABORTED'
  | 'RMQ_OUTBOX_FULL'
  | 'RMQ_NOT_READY'
  | 'RMQ_RPC_TIMEOUT'
  | 'RMQ_RPC_ABORTED'
  | 'RMQ_RPC_UNROUTABLE'
  | 'RMQ_RPC_REFUSED'
  | 'RMQ_RPC_LINK_LOST'
  | 'RMQ_RPC_TOO_MANY_CALLS'
  | 'RMQ_RPC_REMOTE'
  | 'RMQ_RPC_BAD_REPLY'
  | 'RMQ_RPC_REPLY_TO_REFUSED'
  | 'RMQ_TOPOLOGY_REFUSED'
  | 'RMQ_CONSUME_REFUSED'
  | 'RMQ_CONSUMER_CANCELLED'
  | 'RMQ_CHANNEL_CLOSED'
  | 'RMQ_CONNECT_FAILED'
  | 'RMQ_CONNECT_TIMEOUT'
  | 'RMQ_LOGIN_REFUSED'
  | 'RMQ_NO_ADDRESS'
  | 'RMQ_PEER_DEAD'
  | 'RMQ_LINK_LOST'
  | 'RMQ_EVENT_LOOP_BLOCKED'
  | 'RMQ_HEARTBEAT_THREAD'
  | 'RMQ_RECOVERY_STALLED'
  | 'RMQ_GAVE_UP'
  | 'RMQ_CLOSED'
  | 'RMQ_NOT_OPEN'
  | 'RMQ_ILLEGAL_STATE'
  | 'RMQ_OPTIONS_INVALID';

/** Base of all errors of this library: `code` for programs, `cause` for the error underneath, if there is one. */
export class RmqError extends Error {
  constructor(
    readonly code: RmqErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

// --- one message ---------------------------------------------------------------------------------------------------

/** The body of a delivery cannot be turned into a value; the delivery goes to the dead-letter queue. */
export class PayloadNotDecodableError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_PAYLOAD_NOT_DECODABLE', `The body cannot be decoded: ${reason}`, options);
  }
}

/** What a deduplication store is asked to do for one message. */
export type DeduplicationStep = 'claim' | 'renew' | 'done' | 'release';

const STEP_MEANINGS: Record<DeduplicationStep, string> = {
  claim: 'claim',
  renew: 'keep the claim on',
  done: 'remember',
  release: 'release the claim on',
};

/** The store that remembers handled messages failed; what follows from it is in the message. `cause` is the store's error. */
export class DeduplicationError extends RmqError {
  constructor(
    readonly step: DeduplicationStep,
    about: { subscription: string; messageId: string; consequence: string },
    cause: unknown,
  ) {
    super(
      'RMQ_DEDUPLICATION_FAILED',
      `The deduplication store of "${about.subscription}" could not ${STEP_MEANINGS[step]} message ${about.messageId}: ${reasonOf(cause)}; ${about.consequence}`,
      { cause },
    );
  }
}

/** A message came back again and again without being settled, as if it killed whoever handles it; it was dead-lettered unseen. */
export class PoisonMessageError extends RmqError {
  constructor(redeliveries: number, maxRedeliveries: number) {
    super(
      'RMQ_POISON_MESSAGE',
      `The message came back ${redeliveries} times without being settled, more than maxRedeliveries (${maxRedeliveries}): it may kill the process that handles it. Mend the handler, then replay the dead letter`,
    );
  }
}

/** What took too long, and what its writer can do about it. */
const LATE_PARTS = {
  handler: { what: 'No end', wayOut: 'Let the handler end when delivery.signal aborts, or raise the limit' },
  settlement: {
    what: 'Not settled',
    wayOut: 'Call ack(), requeue() or reject() on every path, also when the work fails, or raise the limit',
  },
  schema: { what: "No answer of the event's schema", wayOut: 'Give it what answers sooner, or raise the limit' },
} as const;

/** From here on a raised limit meets the broker's own, which is 30 minutes by default. */
const NEAR_CONSUMER_TIMEOUT_MS = 15 * 60_000;

/**
 * A handler (or, with `ack: 'manual'`, whoever settles; or the schema of the event) took longer than `handlerTimeoutMs`. The
 * delivery goes the way of a failed one. The handler may still be running, beside another attempt; what it settles is a no-op.
 */
export class HandlerTimeoutError extends RmqError {
  constructor(
    readonly subscription: string,
    readonly timeoutMs: number,
    late: keyof typeof LATE_PARTS = 'handler',
  ) {
    const { what, wayOut } = LATE_PARTS[late];
    const brokersLimit =
      timeoutMs < NEAR_CONSUMER_TIMEOUT_MS ? '' : ", and the broker's consumer_timeout (30 minutes by default) with it";
    super('RMQ_HANDLER_TIMEOUT', `${what} within handlerTimeoutMs (${timeoutMs} ms). ${wayOut}${brokersLimit}`);
  }
}

/** What one rule of a contract's schema has against a payload: where, and why. Never the value itself. */
export interface PayloadIssue {
  /** Dotted, as in `items.0.price`; empty for the payload as a whole. */
  readonly path: string;
  readonly message: string;
}

/** The payload does not match the schema of its contract. Nothing was sent; a delivery goes to the dead-letter queue. */
export class PayloadInvalidError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  constructor(
    contract: { readonly exchange: string; readonly routingKey: string },
    readonly issues: readonly PayloadIssue[],
    options?: { cause?: unknown },
  ) {
    const shownIssues = issues.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
    const more = issues.length > 5 ? `; and ${issues.length - 5} more` : '';
    super(
      'RMQ_PAYLOAD_INVALID',
      `The payload does not match the schema of event "${contract.routingKey}" on exchange "${contract.exchange}": ${shownIssues.join('; ')}${more}`,
      options,
    );
    this.exchange = contract.exchange;
    this.routingKey = contract.routingKey;
  }
}

/** What a failed publish was about; never its payload. */
export interface PublishAddress {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
}

/** Base of the errors that `publish()` rejects with. */
export class PublishError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  constructor(code: RmqErrorCode, address: PublishAddress, reason: string, options?: { cause?: unknown }) {
    super(code, `Message ${address.messageId} to ${targetOf(address)} ${reason}`, options);
    this.exchange = address.exchange;
    this.routingKey = address.routingKey;
    this.messageId = address.messageId;
  }
}

function targetOf({ exchange, routingKey }: { exchange: string; routingKey: string }): string {
  return exchange === '' ? `queue "${routingKey}"` : `exchange "${exchange}" with routing key "${routingKey}"`;
}

/** A codec knows no address; `publish()` fills it in. */
const NO_ADDRESS: PublishAddress = { exchange: '', routingKey: '', messageId: '' };

/** The payload cannot be turned into bytes (a cycle, a BigInt, a function). Exchange, routing key and message id are empty when a codec was called by itself. */
export class PayloadNotEncodableError extends PublishError {
  constructor(
    readonly reason: string,
    options: { cause?: unknown; address?: PublishAddress } = {},
  ) {
    super('RMQ_PAYLOAD_NOT_ENCODABLE', options.address ?? NO_ADDRESS, `cannot be encoded: ${reason}`, options);
    if (options.address === undefined) this.message = `The payload cannot be encoded: ${reason}`;
  }
}

/** The body is larger than `option` allows. Raise it, and the broker's `max_message_size`, or send a reference instead. */
export class PayloadTooLargeError extends PublishError {
  constructor(
    /** Size of the body; when counting stopped early, at least so many. */
    readonly bytes: number,
    readonly maxBytes: number,
    /** The option that says so: `publish.maxMessageBytes` or `json.maxBytes`. */
    readonly option: string,
    address?: PublishAddress,
  ) {
    const reason = `at least ${bytes} bytes are more than ${option} (${maxBytes}). Raise it, and the broker's max_message_size, or send a reference to the data instead`;
    super('RMQ_PAYLOAD_TOO_LARGE', address ?? NO_ADDRESS, `is too large: ${reason}`);
    if (address === undefined) this.message = `The payload is too large: ${reason}`;
  }
}

/** The broker said no (basic.nack): the queue is full with overflow "reject-publish", or it could not store the message. */
export class PublishNackedError extends PublishError {
  constructor(address: PublishAddress) {
    super(
      'RMQ_PUBLISH_NACKED',
      address,
      'was nacked by the broker: a queue refused it (length limit with reject-publish) or could not store it. Publish again later, or raise the limit',
    );
  }
}

/** No queue is bound for this routing key: the message would have been lost without `mandatory`. */
export class PublishReturnedError extends PublishError {
  constructor(
    address: PublishAddress,
    readonly replyCode: number,
    readonly replyText: string,
  ) {
    super(
      'RMQ_PUBLISH_RETURNED',
      address,
      `was returned as unroutable (${replyCode} ${replyText}): no queue is bound for it. Bind one, or publish with mandatory: false`,
    );
  }
}

/** The broker closed the channel because of this very message (404 no such exchange, 403 no right to write, 406 ...), or AMQP cannot carry its headers. */
export class PublishRefusedError extends PublishError {
  constructor(address: PublishAddress, cause: unknown, by: 'the broker' | 'AMQP' = 'the broker') {
    super(
      'RMQ_PUBLISH_REFUSED',
      address,
      by === 'AMQP'
        ? `cannot be sent over AMQP: ${reasonOf(cause)}. Change its headers or properties`
        : `was refused by the broker: ${reasonOf(cause)}. Declare the exchange or grant the right, then publish again`,
      { cause },
    );
  }
}

/** No confirm within the time limit. The message may or may not have arrived: publish again under the same messageId. */
export class PublishTimeoutError extends PublishError {
  constructor(
    address: PublishAddress,
    timeoutMs: number,
    readonly wasSent: boolean,
  ) {
    super(
      'RMQ_PUBLISH_TIMEOUT',
      address,
      wasSent
        ? `got no confirm within ${timeoutMs} ms. It may have arrived: publish again under the same messageId`
        : `could not be sent within ${timeoutMs} ms and was taken back; it has not reached the broker. Publish again when the connection is open`,
    );
  }
}

/** The caller's AbortSignal fired before the confirm. */
export class PublishAbortedError extends PublishError {
  constructor(
    address: PublishAddress,
    cause: unknown,
    /** It may have arrived all the same. */
    readonly wasSent: boolean,
  ) {
    const fate = wasSent ? 'it was sent and may have arrived' : 'it was never sent';
    super('RMQ_PUBLISH_ABORTED', address, `was aborted by its signal before the confirm; ${fate}`, { cause });
  }
}

/** The outbox is at its bound. The message was never sent. */
export class OutboxFullError extends PublishError {
  readonly wasSent = false;
  constructor(address: PublishAddress, what: string) {
    super('RMQ_OUTBOX_FULL', address, `${what}, its bound. Slow down, or raise outbox.maxMessages / outbox.maxBytes`);
  }
}

/** The connection was closed before the confirm, or before the call. */
export class PublishClosedError extends PublishError {
  constructor(
    address: PublishAddress,
    /** It may have arrived all the same. */
    readonly wasSent: boolean,
  ) {
    const fate = wasSent ? 'it was sent and may have arrived' : 'it was never sent';
    super('RMQ_CLOSED', address, `was not confirmed before the connection was closed; ${fate}`);
  }
}

/** `whenReady()` ran out of time. */
export class NotReadyError extends RmqError {
  constructor(timeoutMs: number, why: string) {
    super('RMQ_NOT_READY', `The publisher was not ready within ${timeoutMs} ms: ${why}`);
  }
}

/** A request says a place to reply to that we must not publish to. It was not handled; it went to the dead-letter queue. */
export class ReplyToRefusedError extends RmqError {
  constructor(why: string) {
    super('RMQ_RPC_REPLY_TO_REFUSED', `The request is not answered: ${why}`);
  }
}

/** Where a call went. */
export interface CallAddress {
  readonly exchange: string;
  readonly routingKey: string;
  /** Ties its replies to it. */
  readonly correlationId: string;
}

/** Base of the errors that a call ends with. Its request may have been handled all the same where `wasSent` is true. */
export class RmqRpcError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  readonly correlationId: string;
  constructor(
    code: RmqErrorCode,
    address: CallAddress,
    what: string,
    /** Whether the request was handed to the socket before the call ended. */
    readonly wasSent: boolean,
    options?: { cause?: unknown },
  ) {
    super(code, `Call ${address.correlationId} to ${targetOf(address)} ${what}`, options);
    this.exchange = address.exchange;
    this.routingKey = address.routingKey;
    this.correlationId = address.correlationId;
  }
}

/** No reply, or no further one, within the time limit. */
export class RpcTimeoutError extends RmqRpcError {
  constructor(
    address: CallAddress,
    readonly timeoutMs: number,
    wasSent: boolean,
    cause?: unknown,
  ) {
    const because = cause === undefined ? '' : `: ${reasonOf(cause)}`;
    const what = wasSent
      ? `got no reply within ${timeoutMs} ms. It may have been handled`
      : `could not be sent within ${timeoutMs} ms and was taken back${because}`;
    super('RMQ_RPC_TIMEOUT', address, what, wasSent, { cause });
  }
}

/** The caller's AbortSignal fired before the last reply; `cause` is its reason. */
export class RpcAbortedError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown, wasSent: boolean) {
    const fate = wasSent ? 'the request was sent, and may be handled' : 'the request was never sent';
    super('RMQ_RPC_ABORTED', address, `was aborted by its signal; ${fate}`, wasSent, { cause });
  }
}

/** No queue is bound for the request, or there is no such exchange: known at once. */
export class RpcUnroutableError extends RmqRpcError {
  constructor(
    address: CallAddress,
    readonly replyCode: number,
    readonly replyText: string,
  ) {
    super(
      'RMQ_RPC_UNROUTABLE',
      address,
      `is unroutable (${replyCode} ${replyText}): no queue takes it. Start whoever answers it first, or mend the address`,
      true,
    );
  }
}

/** AMQP cannot carry the request. Nothing was sent. */
export class RpcRefusedError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown) {
    super('RMQ_RPC_REFUSED', address, `cannot be sent: ${reasonOf(cause)}. Change its headers or properties`, false, {
      cause,
    });
  }
}

/** The link, the channel or whoever answered was lost after the request was sent: no reply can come any more. */
export class RpcLinkLostError extends RmqRpcError {
  constructor(address: CallAddress, cause: unknown) {
    const what = `lost its way back: ${reasonOf(cause)}. It may have been handled; call again if that does no harm`;
    super('RMQ_RPC_LINK_LOST', address, what, true, { cause });
  }
}

/** As many calls as may be are outstanding, or their requests fill the outbox. Nothing was sent. */
export class RpcTooManyCallsError extends RmqRpcError {
  constructor(address: CallAddress, why: string, cause?: unknown) {
    super('RMQ_RPC_TOO_MANY_CALLS', address, `was not made: ${why}. Slow down, or raise the limit`, false, { cause });
  }
}

/** The connection was closed before the last reply, or before the call. */
export class RpcClosedError extends RmqRpcError {
  constructor(address: CallAddress, wasSent: boolean) {
    const fate = wasSent ? 'it was sent, and may be handled' : 'it was never sent';
    super('RMQ_CLOSED', address, `had not ended when the connection was closed; ${fate}`, wasSent);
  }
}

// --- one channel ---------------------------------------------------------------------------------------------------

/** The broker refused to declare an entity (403, 404, 405, 406); it is skipped, named in status and retried. */
export class TopologyRefusedError extends RmqError {
  constructor(
    readonly entity: string,
    cause: unknown,
  ) {
    super(
      'RMQ_TOPOLOGY_REFUSED',
      `The broker refused to declare ${entity}: ${reasonOf(cause)}. Make the declaration match what exists, grant the right, or remove the old entity; it is retried meanwhile`,
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
      `The broker cancelled the consumer of subscription "${subscription}" on queue "${queue}" (queue deleted, moved, or an acknowledgement timed out${inHand})`,
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
      `Dead letters of queue "${queue}" cannot be reached: ${reasonOf(cause)}. What was not moved yet is still there: try again when the connection is open`,
      { cause },
    );
  }
}

/** A channel ended while the link lives. */
export class ChannelClosedError extends RmqError {
  constructor(what: string, cause: unknown) {
    super('RMQ_CHANNEL_CLOSED', `The channel of ${what} was closed: ${reasonOf(cause)}`, { cause });
  }
}

// --- the connection ------------------------------------------------------------------------------------------------

/** One attempt failed: refused, unreachable, TLS, wrong vhost ... The next one follows after a back-off. */
export class ConnectFailedError extends RmqError {
  constructor(endpoint: string, cause: unknown) {
    super('RMQ_CONNECT_FAILED', `Cannot connect to ${endpoint}: ${reasonOf(cause)}`, { cause });
  }
}

/** The broker accepted TCP, perhaps, but did not finish the AMQP handshake in time. */
export class ConnectTimeoutError extends RmqError {
  constructor(endpoint: string, timeoutMs: number) {
    super('RMQ_CONNECT_TIMEOUT', `No AMQP handshake with ${endpoint} within connectTimeoutMs (${timeoutMs} ms)`);
  }
}

/** Wrong user, password or token. Retried slowly; heals when the credentials do. */
export class LoginRefusedError extends RmqError {
  constructor(endpoint: string, cause: unknown) {
    super(
      'RMQ_LOGIN_REFUSED',
      `${endpoint} refused the login (403). Check user, password and vhost rights. It is tried again, slowly`,
      { cause },
    );
  }
}

/** The address provider failed or answered with nothing usable. */
export class NoAddressError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_NO_ADDRESS', `No broker address to dial: ${reason}`, options);
  }
}

/** Nothing was heard from the broker for one and a half heartbeat timeouts. */
export class PeerDeadError extends RmqError {
  constructor(
    readonly silentForMs: number,
    readonly timeoutMs: number,
  ) {
    super(
      'RMQ_PEER_DEAD',
      `Nothing heard from the broker for ${(silentForMs / 1000).toFixed(1)} s (heartbeat timeout ${timeoutMs / 1000} s): the link is dead and was destroyed`,
    );
  }
}

/** The link ended: closed by the broker, reset, or ended by the network. */
export class LinkLostError extends RmqError {
  constructor(cause: unknown) {
    super('RMQ_LINK_LOST', `The link was lost: ${reasonOf(cause)}`, { cause });
  }
}

/** Our event loop was blocked for so long that it cost the link. The work of the handlers was delivered again. */
export class EventLoopBlockedError extends RmqError {
  private constructor(
    readonly stalledForMs: number,
    consequence: string,
    cause?: unknown,
  ) {
    super('RMQ_EVENT_LOOP_BLOCKED', `event loop blocked for ${(stalledForMs / 1000).toFixed(1)} s; ${consequence}`, {
      cause,
    });
  }

  /** No heartbeat went out meanwhile, and the broker gave us up. */
  static byBroker(stalledForMs: number, timeoutMs: number, cause: unknown): EventLoopBlockedError {
    return new EventLoopBlockedError(stalledForMs, `the broker gave us up after 2 x ${timeoutMs / 1000} s`, cause);
  }

  /** The heartbeat thread kept the link until `heartbeat.maxStallMs`, and no longer. */
  static atLimit(stalledForMs: number): EventLoopBlockedError {
    const limit = 'beyond heartbeat.maxStallMs the heartbeat thread gave the work back';
    return new EventLoopBlockedError(stalledForMs, limit);
  }
}

/** The thread that holds the sockets (`heartbeat.thread: 'worker'`) could not be started, died or hung; another one is started. */
export class HeartbeatThreadError extends RmqError {
  constructor(what: string, cause?: unknown) {
    const reason = cause === undefined ? '' : `: ${reasonOf(cause)}`;
    super(
      'RMQ_HEARTBEAT_THREAD',
      `The heartbeat thread failed, ${what}${reason}. Another one is started; if that never helps (a bundler left its file out, say), use heartbeat.thread: 'main'`,
      { cause },
    );
  }
}

/** The broker stopped answering in the middle of recovery; the link was discarded and the next attempt follows. */
export class RecoveryStalledError extends RmqError {
  constructor(step: string, timeoutMs: number) {
    super(
      'RMQ_RECOVERY_STALLED',
      `The broker did not answer for ${timeoutMs} ms while recovery was busy with ${step}; the link was discarded`,
    );
  }
}

/** `maxAttempts` is spent, or `startup: 'fail-fast'` met a broker that cannot be reached. */
export class GaveUpError extends RmqError {
  constructor(attempts: number, cause: unknown) {
    super(
      'RMQ_GAVE_UP',
      `Gave up connecting after ${attempts} attempt${attempts === 1 ? '' : 's'}: ${reasonOf(cause)}`,
      { cause },
    );
  }
}

/** The connection was closed by us. */
export class ConnectionClosedError extends RmqError {
  constructor(what = 'The connection is closed') {
    super('RMQ_CLOSED', what);
  }
}

/** `whenOpen()` ran out of time. */
export class NotOpenError extends RmqError {
  constructor(name: string, timeoutMs: number, state: string, cause?: unknown) {
    super(
      'RMQ_NOT_OPEN',
      `Connection "${name}" is not open after ${timeoutMs} ms; it is ${state}${cause === undefined ? '' : ` (${reasonOf(cause)})`}`,
      { cause },
    );
  }
}

/** A move that the lifecycle table does not have: a defect of this library. Please report it. */
export class IllegalStateError extends RmqError {
  constructor(from: string, to: string) {
    super(
      'RMQ_ILLEGAL_STATE',
      `A connection cannot go from ${from} to ${to}. This is a defect of nestjs-rmq-keepalive: please report it`,
    );
  }
}

// --- the boot ------------------------------------------------------------------------------------------------------

/** An option has a value that cannot work. Thrown before anything is dialled. */
export class OptionsError extends RmqError {
  constructor(
    readonly option: string,
    problem: string,
    wayOut: string,
  ) {
    super('RMQ_OPTIONS_INVALID', `${option}: ${problem}. ${wayOut}`);
  }
}

/** Messages of strangers' errors may quote whole payloads; nobody reads on after this many characters. */
const MAX_REASON_LENGTH = 2_000;

/** The message of anything that was thrown, in one line, with URLs' passwords hidden. Never throws itself. */
export function reasonOf(thrown: unknown): string {
  try {
    return redactSecrets(shortened(messageOf(thrown))).replace(/\s*\n\s*/g, ' ');
  } catch {
    return 'a thrown value that cannot be read';
  }
}

/** The `name` of anything that was thrown, `Error` if it has none. */
export function errorNameOf(thrown: unknown): string {
  try {
    const { name } = asError(thrown) as { name: unknown };
    return typeof name === 'string' ? shortened(name) : 'Error';
  } catch {
    return 'Error';
  }
}

function messageOf(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null && 'message' in thrown && typeof thrown.message === 'string')
    return thrown.message || nameOf(thrown);
  return typeof thrown === 'string' ? thrown : `a thrown value of type ${thrown === null ? 'null' : typeof thrown}`;
}

function nameOf(thrown: object): string {
  if ('code' in thrown && typeof thrown.code === 'string') return thrown.code;
  return 'name' in thrown && typeof thrown.name === 'string' ? thrown.name : 'error without a message';
}

/** Cut between words, so that no half of a URL is left whose password nobody would recognise. */
function shortened(text: string): string {
  if (text.length <= MAX_REASON_LENGTH) return text;
  return `${text.slice(0, Math.max(0, text.slice(0, MAX_REASON_LENGTH).lastIndexOf(' ')))} ... (${text.length} characters)`;
}

/** Replaces the user-info part of every URL in `text`: `amqp://user:secret@host` becomes `amqp://***@host`. */
export function redactSecrets(text: string): string {
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)\S*@/gi, '$1***@');
}

/** True for errors, also for those of another realm (worker, jest), which `instanceof Error` misses. */
export function asError(thrown: unknown): Error {
  try {
    if (thrown instanceof Error) return thrown;
    if (typeof thrown === 'object' && thrown !== null && 'message' in thrown && 'stack' in thrown)
      return thrown as Error;
  } catch {
    // A proxy or a getter that throws: described below without being looked at.
  }
  return new Error(reasonOf(thrown), { cause: thrown });
}
