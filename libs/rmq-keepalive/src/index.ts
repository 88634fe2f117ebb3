// The public names of `nestjs-rmq-keepalive`. What is not here is nobody's business; integrations have entries of their own.

// --- Nest ------------------------------------------------------------------------------------------------------------
export { RmqKeepaliveModule } from './nest/rmq-keepalive.module.js';
export type { RmqModuleExtras } from './nest/rmq-keepalive.module-definition.js';
export { Subscribe } from './nest/decorators/subscribe.decorator.js';
export type { SubscribeOptions } from './nest/decorators/subscribe.decorator.js';
export { DeliveryHeaders } from './nest/decorators/delivery-headers.decorator.js';
export { InjectRmqConnection } from './nest/decorators/inject-rmq-connection.decorator.js';
export { InjectRmqDeadLetters } from './nest/decorators/inject-rmq-dead-letters.decorator.js';
export { InjectRmqPublisher } from './nest/decorators/inject-rmq-publisher.decorator.js';
export {
  DEFAULT_CONNECTION_NAME,
  getRmqConnectionToken,
  getRmqDeadLettersToken,
  getRmqPublisherToken,
} from './nest/connection-tokens.js';

// --- the connection --------------------------------------------------------------------------------------------------
export { RmqConnection } from './engine/connection/rmq-connection.js';
export type { Subscription } from './engine/connection/rmq-connection.js';
export type { RmqConnectionOptions } from './engine/connection/connection-options.js';
export type { AddressProvider } from './engine/connection/broker-endpoints.js';
export type { ReconnectOptions } from './engine/connection/reconnect-backoff.js';
export type { HeartbeatOptions, IntermediaryName } from './engine/heartbeat/heartbeat-policy.js';
export { INTERMEDIARY_IDLE_SECONDS } from './engine/heartbeat/heartbeat-policy.js';
export type { JsonCodecOptions } from './engine/codec/json-codec.js';
export { NEXT_STATES, STATE_MEANINGS } from './engine/connection/connection-state.js';
export type { ConnectionState, StateName } from './engine/connection/connection-state.js';
export { describeEvent } from './engine/connection/connection-events.js';
export type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventOf,
  ConnectionEventType,
  DrainReport,
  EventLevel,
  FailedHandlerFate,
} from './engine/connection/connection-events.js';
export type { RecoveryReport, Refusal } from './engine/connection/recovery.js';
export type { LinkRole } from './engine/connection/link.js';
export type { ConnectionStatus, LinkStatus, MissingConsumer } from './engine/status.js';

// --- topology --------------------------------------------------------------------------------------------------------
export type { BindingOptions, ExchangeOptions, QueueOptions, TopologyOptions } from './engine/topology/topology.js';

// --- consuming -------------------------------------------------------------------------------------------------------
export { Delivery } from './engine/consuming/delivery.js';
export { Settlement } from './engine/consuming/settlement.js';
export type { SettlementKind } from './engine/consuming/settlement.js';
export type { DeliveryHandler, SubscriptionOptions } from './engine/consuming/subscription.js';
export type { DeduplicationOptions } from './engine/consuming/deduplication-options.js';
export type { ClaimAnswer, DeduplicationClaim, DeduplicationStore } from './engine/consuming/deduplication-store.js';
export { DEAD_LETTER_HEADERS } from './engine/consuming/dead-letter.js';
export type { DeadLetterReason } from './engine/consuming/dead-letter.js';
export { DeadLetter, REPLAYED_HEADER } from './engine/consuming/dead-letter-record.js';
export { RmqDeadLetters } from './engine/consuming/dead-letters.js';
export type { DeadLetterSource, ListOptions } from './engine/consuming/dead-letters.js';
export type { ReplayOptions, ReplayReport } from './engine/consuming/replay.js';
export { ORIGIN_HEADERS, REDELIVERY_COUNT_HEADER, RETRY_HEADERS } from './engine/consuming/message-copy.js';
export type { RetryOptions } from './engine/consuming/retry-policy.js';
export type { RetryInOptions } from './engine/consuming/settlement.js';

// --- publishing ------------------------------------------------------------------------------------------------------
export { REPUBLISHED_HEADER, RmqPublisher } from './engine/publishing/publisher.js';
export type { PublishDefaults, PublishOptions } from './engine/publishing/publisher.js';
export type { OutboxOptions } from './engine/publishing/outbox.js';

// --- errors ----------------------------------------------------------------------------------------------------------
export {
  ChannelClosedError,
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  DeadLettersUnreachableError,
  DeduplicationError,
  GaveUpError,
  IllegalStateError,
  LinkLostError,
  LoginRefusedError,
  NoAddressError,
  NotOpenError,
  OptionsError,
  OutboxFullError,
  PayloadNotDecodableError,
  PayloadNotEncodableError,
  PeerDeadError,
  PoisonMessageError,
  PublishAbortedError,
  PublishError,
  PublishNackedError,
  PublishRefusedError,
  PublishReturnedError,
  PublishTimeoutError,
  RecoveryStalledError,
  RmqError,
  TopologyRefusedError,
} from './engine/errors.js';
export type { DeduplicationStep, PublishAddress, RmqErrorCode } from './engine/errors.js';
