/** The properties that a message is published with. */

/** The properties of a message on the wire, by their AMQP names; `undefined` is left out. */
export interface MessageProperties {
  readonly mandatory?: boolean;
  readonly persistent?: boolean;
  readonly messageId?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly correlationId?: string;
  readonly replyTo?: string;
  /** Milliseconds. */
  readonly expiration?: number | string;
  readonly priority?: number;
  /** Seconds since the epoch. */
  readonly timestamp?: number;
  readonly type?: string;
  readonly userId?: string;
  readonly appId?: string;
}
