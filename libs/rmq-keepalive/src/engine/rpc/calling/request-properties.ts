/** The properties of a request on the wire. */
import type { Clock } from '../../base/clock.js';
import type { MessageProperties } from '../../wire/message-properties.js';
import type { Call } from './call.js';

/** A class with its fields in one order: thousands of these are written in a second, and all look alike. */
export class RequestProperties implements MessageProperties {
  readonly mandatory: boolean;
  readonly persistent: boolean | undefined;
  readonly messageId: string;
  readonly headers: MessageProperties['headers'];
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly correlationId: string;
  readonly priority: number | undefined;
  readonly timestamp: number | undefined;
  readonly type: string | undefined;
  readonly userId: string | undefined;
  readonly appId: string | undefined;
  readonly #expiration: MessageProperties['expiration'];

  constructor(
    given: MessageProperties,
    readonly replyTo: string,
    private readonly call: Call,
    /** When the request expires with its call. */
    private readonly clock: Clock | undefined,
  ) {
    this.mandatory = given.mandatory ?? true;
    this.persistent = given.persistent;
    this.messageId = given.messageId ?? call.id;
    this.headers = given.headers;
    this.contentType = given.contentType;
    this.contentEncoding = given.contentEncoding;
    this.correlationId = given.correlationId ?? call.id;
    this.priority = given.priority;
    this.timestamp = given.timestamp;
    this.type = given.type;
    this.userId = given.userId;
    this.appId = given.appId;
    this.#expiration = given.expiration;
  }

  /** Asked when the request goes out: by then it may have waited for the link. */
  get expiration(): MessageProperties['expiration'] {
    const { clock } = this;
    if (clock === undefined || this.call.timeoutMs === undefined) return this.#expiration;
    return Math.max(0, Math.ceil(this.call.deadline - clock.now()));
  }
}
