/**
 * Every error this library makes, ordered by blast radius: one message, one channel, the connection, the boot.
 * `code` is stable and meant for programs; the message says what failed, with which values, and the way out.
 * No message carries a payload, a password or an unredacted URL.
 */
export type RmqErrorCode =
  | 'RMQ_PAYLOAD_NOT_ENCODABLE'
  | 'RMQ_PAYLOAD_NOT_DECODABLE'
  | 'RMQ_POISON_MESSAGE'
  | 'RMQ_DEAD_LETTERS_UNREACHABLE'
  | 'RMQ_DEDUPLICATION_FAILED'
  | 'RMQ_PUBLISH_NACKED'
  | 'RMQ_PUBLISH_RETURNED'
  | 'RMQ_PUBLISH_REFUSED'
  | 'RMQ_PUBLISH_TIMEOUT'
  | 'RMQ_PUBLISH_ABORTED'
  | 'RMQ_OUTBOX_FULL'
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

/** The payload cannot be turned into bytes (a cycle, a BigInt, a function, more than `maxBytes`). */
export class PayloadNotEncodableError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_PAYLOAD_NOT_ENCODABLE', `The payload cannot be encoded: ${reason}`, options);
  }
}

/** The body of a delivery cannot be turned into a value; the delivery goes to the dead-letter queue. */
export class PayloadNotDecodableError extends RmqError {
  constructor(reason: string, options?: { cause?: unknown }) {
    super('RMQ_PAYLOAD_NOT_DECODABLE', `The body cannot be decoded: ${reason}`, options);
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

/** What a failed publish was about; never its payload. */
export interface PublishAddress {
  exchange: string;
  routingKey: string;
  messageId: string;
}

/** Base of the errors that `publish()` rejects with. */
export class PublishError extends RmqError {
  readonly exchange: string;
  readonly routingKey: string;
  readonly messageId: string;
  constructor(code: RmqErrorCode, address: PublishAddress, reason: string, options?: { cause?: unknown }) {
    const target =
      address.exchange === ''
        ? `queue "${address.routingKey}"`
        : `exchange "${address.exchange}" with routing key "${address.routingKey}"`;
    super(code, `Message ${address.messageId} to ${target} ${reason}`, options);
    this.exchange = address.exchange;
    this.routingKey = address.routingKey;
    this.messageId = address.messageId;
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

/** The broker closed the channel because of this very message (404 no such exchange, 403 no right to write, 406 ...). */
export class PublishRefusedError extends PublishError {
  constructor(address: PublishAddress, cause: unknown) {
    super(
      'RMQ_PUBLISH_REFUSED',
      address,
      `was refused by the broker: ${reasonOf(cause)}. Declare the exchange or grant the right, then publish again`,
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
  constructor(address: PublishAddress, cause: unknown) {
    super('RMQ_PUBLISH_ABORTED', address, 'was aborted by its signal before the confirm', { cause });
  }
}

/** The outbox is at its bound. */
export class OutboxFullError extends PublishError {
  constructor(address: PublishAddress, what: string) {
    super('RMQ_OUTBOX_FULL', address, `${what}, its bound. Slow down, or raise outbox.maxMessages / outbox.maxBytes`);
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
