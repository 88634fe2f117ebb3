// The public names of `nestjs-rmq-keepalive`. What is not here is nobody's business; integrations have entries of their own.

// --- Nest ------------------------------------------------------------------------------------------------------------
export { RmqKeepaliveModule } from './nest/rmq-keepalive.module.js';
export type { RmqModuleExtras } from './nest/rmq-keepalive.module-definition.js';
export { Subscribe } from './nest/decorators/subscribe.decorator.js';
export type { SubscribeOptions } from './nest/decorators/subscribe.decorator.js';
export { SubscribeBatch } from './nest/decorators/subscribe-batch.decorator.js';
export type { SubscribeBatchOptions } from './nest/decorators/subscribe-batch.decorator.js';
export { Rpc } from './nest/decorators/rpc.decorator.js';
export type { RpcHandlerOptions } from './nest/decorators/rpc.decorator.js';
export { DeliveryHeaders } from './nest/decorators/delivery-headers.decorator.js';
export { InjectRmqConnection } from './nest/decorators/inject-rmq-connection.decorator.js';
export { InjectRmqDeadLetters } from './nest/decorators/inject-rmq-dead-letters.decorator.js';
export { InjectRmqRpcClient } from './nest/decorators/inject-rmq-rpc-client.decorator.js';
export { InjectRmqPublisher } from './nest/decorators/inject-rmq-publisher.decorator.js';
export {
  DEFAULT_CONNECTION_NAME,
  getRmqConnectionToken,
  getRmqDeadLettersToken,
  getRmqPublisherToken,
  getRmqRpcClientToken,
} from './nest/connection-tokens.js';
export type { PublisherChoice } from './nest/connection-tokens.js';

// --- the connection --------------------------------------------------------------------------------------------------
export { RmqConnection } from './engine/connection/rmq-connection.js';
export type { RmqConnectionOptions } from './engine/connection/connection-options.js';
export type { AddressProvider } from './engine/connection/broker-endpoints.js';
export type { BrokerAddress } from './engine/connection/address-parts.js';
export type {
  CredentialsOption,
  CredentialsProvider,
  ExpiringCredentials,
  RmqCredentials,
} from './engine/connection/credentials.js';
export type { ReconnectOptions } from './engine/connection/reconnect-backoff.js';
export type { HeartbeatOptions, HeartbeatThread, IntermediaryName } from './engine/heartbeat/heartbeat-policy.js';
export { INTERMEDIARY_IDLE_SECONDS } from './engine/heartbeat/heartbeat-policy.js';
export type { JsonCodecOptions } from './engine/codec/json-codec.js';
export { NEXT_STATES, STATE_MEANINGS } from './engine/connection/connection-state.js';
export type { ConnectionState, StateName } from './engine/connection/connection-state.js';
export { describeEvent } from './engine/connection/event-sentences.js';
export type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventOf,
  ConnectionEventType,
  DrainReport,
  FailedHandlerFate,
} from './engine/connection/connection-events.js';
export type { EventLevel } from './engine/connection/event-sentences.js';
export type { RecoveryReport, Refusal } from './engine/connection/recovery.js';
export type { LinkRole } from './engine/connection/link.js';
export type {
  ConnectionStatus,
  LinkStatus,
  MissingConsumer,
  MissingPublisher,
  RpcStatus,
  SingleActiveStatus,
  StuckDeliveriesStatus,
} from './engine/status.js';

// --- topology --------------------------------------------------------------------------------------------------------
export type { BindingOptions, ExchangeOptions, QueueOptions, TopologyOptions } from './engine/topology/topology.js';

// --- consuming -------------------------------------------------------------------------------------------------------
export type { CopyOptions } from './engine/consuming/copy-signatures.js';
export { Delivery } from './engine/consuming/delivery.js';
export type { MessageHeaders } from './engine/consuming/delivery.js';
export { DeliveryBatch } from './engine/consuming/delivery-batch.js';
export { Settlement } from './engine/consuming/settlement.js';
export type { SettlementKind } from './engine/consuming/settlement.js';
export type { DeduplicationOptions } from './engine/consuming/deduplication/deduplication-options.js';
export type {
  ClaimAnswer,
  DeduplicationClaim,
  DeduplicationStore,
} from './engine/consuming/deduplication/deduplication-store.js';
export type {
  BatchHandler,
  BatchSubscriptionOptions,
  DeliveryHandler,
  SubscriptionOptions,
} from './engine/consuming/subscription.js';
export type { BatchOptions, HandlingOptions } from './engine/consuming/handling-options.js';
export type { StreamStart } from './engine/consuming/stream-position.js';
export type { Subscription } from './engine/consuming/subscription-handle.js';
export { DEAD_LETTER_HEADERS } from './engine/consuming/failures/dead-letter.js';
export type { DeadLetterReason } from './engine/consuming/failures/dead-letter.js';
export type { DeadLetterJson } from './engine/consuming/failures/dead-letter-json.js';
export { DeadLetter, REPLAYED_HEADER } from './engine/consuming/failures/dead-letter-record.js';
export { RmqDeadLetters } from './engine/consuming/failures/dead-letters.js';
export type { DeadLetterSource, ListOptions } from './engine/consuming/failures/dead-letters.js';
export type { ReplayOptions, ReplayReport } from './engine/consuming/failures/replay.js';
export { ORIGIN_HEADERS, REDELIVERY_COUNT_HEADER, RETRY_HEADERS } from './engine/consuming/carried-headers.js';
export type { RetryOptions } from './engine/consuming/failures/retry-policy.js';
export type { RetryInOptions } from './engine/consuming/settlement.js';

// --- publishing ------------------------------------------------------------------------------------------------------
export { RmqPublisher } from './engine/publishing/publisher.js';
export type { WhenReadyOptions } from './engine/publishing/publisher.js';
export { REPUBLISHED_HEADER } from './engine/publishing/outgoing-message.js';
export type { CreatePublisherOptions } from './engine/publishing/publishers.js';
export type {
  ConnectionPublishOptions,
  PublishDefaults,
  PublisherDefaults,
  PublishOptions,
} from './engine/publishing/publish-options.js';
export type {
  ManyToPublish,
  MessageToPublish,
  PublishFailure,
  PublishManyOptions,
  PublishReport,
} from './engine/publishing/publish-many.js';
export type { OutboxOptions } from './engine/publishing/outbox.js';
export { defineEvent, isEventContract, validateAgainst } from './engine/contracts/event.js';
export type { EventContract, EventInput, EventOptions, EventPayload } from './engine/contracts/event.js';
export type { SchemaIssue, SchemaResult, StandardSchema } from './engine/contracts/standard-schema.js';
export type { BodyProperties, Codec, EncodedBody } from './engine/codec/codec.js';
export { JsonCodec } from './engine/codec/json-codec.js';

// --- rpc --------------------------------------------------------------------------------------------------------------
export { RmqRpcClient } from './engine/rpc/rpc-client.js';
export type { RpcRequestOptions, RpcStreamOptions } from './engine/rpc/rpc-client.js';
export type { RpcOptions } from './engine/rpc/rpc-options.js';
export type { AnswerOptions } from './engine/rpc/answer-options.js';
export { RpcBadReplyError, RpcFailure, RpcRemoteError } from './engine/rpc/remote-error.js';
export type { RemoteErrorFields } from './engine/rpc/remote-error.js';
export { defineRpc, isRpcContract } from './engine/contracts/rpc.js';
export type { RpcAddress, RpcContract, RpcInput, RpcPayload, RpcResult } from './engine/contracts/rpc.js';

// --- errors ----------------------------------------------------------------------------------------------------------
export {
  ChannelClosedError,
  ChannelsExhaustedError,
  ClosesTheLinkError,
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  NotSingleActiveError,
  DeadLettersUnreachableError,
  DeduplicationError,
  EventLoopBlockedError,
  GaveUpError,
  HandlerTimeoutError,
  HeartbeatThreadError,
  IllegalStateError,
  LinkLostError,
  LoginRefusedError,
  NoAddressError,
  NoAnswerYetError,
  NotOpenError,
  NotReadyError,
  OptionsError,
  OutboxFullError,
  PayloadInvalidError,
  MessageTooLargeError,
  PayloadNotDecodableError,
  PayloadNotEncodableError,
  PayloadTooLargeError,
  NoConfirmsError,
  PeerDeadError,
  DeliveryLimitError,
  ProcessStoppedError,
  PoisonMessageError,
  PublishAbortedError,
  PublishClosedError,
  PublishError,
  PublishNackedError,
  PublishRefusedError,
  PublishReturnedError,
  PublishTimeoutError,
  RecoveryStalledError,
  ReplyToRefusedError,
  RmqError,
  RmqRpcError,
  RpcAbortedError,
  RpcClosedError,
  RpcLinkLostError,
  RpcRefusedError,
  RpcTimeoutError,
  RpcTooManyCallsError,
  RpcUnroutableError,
  TopologyRefusedError,
} from './engine/errors.js';
export type { CallAddress, DeduplicationStep, PayloadIssue, PublishAddress, RmqErrorCode } from './engine/errors.js';
