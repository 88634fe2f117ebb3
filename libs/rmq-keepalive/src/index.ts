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
} from './nest/connections/connection-tokens.js';
export type { PublisherChoice } from './nest/connections/connection-tokens.js';

// --- the connection --------------------------------------------------------------------------------------------------
export { RmqConnection } from './engine/connection/rmq-connection.js';
export type { RmqConnectionOptions } from './engine/connection/connection-options.js';
export type { AddressProvider } from './engine/dialling/endpoint-rotation.js';
export type { BrokerAddress } from './engine/dialling/broker-address.js';
export type {
  CredentialsOption,
  CredentialsProvider,
  ExpiringCredentials,
  RmqCredentials,
} from './engine/dialling/credentials.js';
export type { ReconnectOptions } from './engine/recovery/reconnect-backoff.js';
export type { HeartbeatOptions, HeartbeatThread, IntermediaryName } from './engine/heartbeat/heartbeat-policy.js';
export { INTERMEDIARY_IDLE_SECONDS } from './engine/heartbeat/heartbeat-policy.js';
export type { JsonCodecOptions } from './engine/codec/json-codec.js';
export { NEXT_STATES, STATE_MEANINGS } from './engine/reporting/lifecycle.js';
export type { LinkRole } from './engine/reporting/lifecycle.js';
export type { ConnectionState, StateName } from './engine/reporting/lifecycle.js';
export { describeEvent } from './engine/reporting/event-sentences.js';
export type {
  ConnectionEvent,
  ConnectionEventListener,
  ConnectionEventOf,
  ConnectionEventType,
  DrainReport,
  FailedHandlerFate,
  RecoveryReport,
  Refusal,
} from './engine/reporting/events.js';
export type { EventLevel } from './engine/reporting/event-sentences.js';
export type {
  ConnectionStatus,
  LinkStatus,
  MissingConsumer,
  MissingPublisher,
  RpcStatus,
  SingleActiveStatus,
  StuckDeliveriesStatus,
} from './engine/reporting/status.js';

// --- topology --------------------------------------------------------------------------------------------------------
export type { BindingOptions, ExchangeOptions, QueueOptions, TopologyOptions } from './engine/topology/topology.js';

// --- consuming -------------------------------------------------------------------------------------------------------
export type { CopyOptions } from './engine/copies/copy-signatures.js';
export { Delivery } from './engine/consuming/delivery/delivery.js';
export type { MessageHeaders } from './engine/wire/message-headers.js';
export { DeliveryBatch } from './engine/consuming/delivery/delivery-batch.js';
export { Settlement } from './engine/consuming/delivery/settlement.js';
export type { DeadLetterReason } from './engine/consuming/delivery/settlement.js';
export type { SettlementKind } from './engine/consuming/delivery/settlement.js';
export type { DeduplicationOptions } from './engine/consuming/options/deduplication-options.js';
export type {
  ClaimAnswer,
  DeduplicationClaim,
  DeduplicationStore,
} from './engine/consuming/options/deduplication-store.js';
export type {
  BatchHandler,
  BatchSubscriptionOptions,
  DeliveryHandler,
  SubscriptionOptions,
} from './engine/consuming/options/subscription.js';
export type { BatchOptions, HandlingOptions } from './engine/consuming/options/handling-options.js';
export type { StreamStart } from './engine/consuming/options/stream-position.js';
export type { Subscription } from './engine/consuming/attaching/subscription-handle.js';
export { DEAD_LETTER_HEADERS } from './engine/consuming/failures/move-to-dead-letters.js';
export { DeadLetter, REPLAYED_HEADER } from './engine/dead-letters/dead-letter.js';
export type { DeadLetterJson } from './engine/dead-letters/dead-letter.js';
export { RmqDeadLetters } from './engine/dead-letters/dead-letters.js';
export type { DeadLetterSource, ListOptions } from './engine/dead-letters/dead-letters.js';
export type { ReplayOptions, ReplayReport } from './engine/dead-letters/replay.js';
export { ORIGIN_HEADERS, REDELIVERY_COUNT_HEADER, RETRY_HEADERS } from './engine/copies/carried-headers.js';
export type { RetryOptions } from './engine/consuming/options/retry-policy.js';
export type { RetryInOptions } from './engine/consuming/delivery/settlement.js';

// --- publishing ------------------------------------------------------------------------------------------------------
export { RmqPublisher } from './engine/publishing/publisher.js';
export type { WhenReadyOptions } from './engine/publishing/readiness.js';
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
export { RmqRpcClient } from './engine/rpc/calling/rpc-client.js';
export type { RpcRequestOptions, RpcStreamOptions } from './engine/rpc/calling/rpc-client.js';
export type { RpcOptions } from './engine/rpc/wire/rpc-options.js';
export type { AnswerOptions } from './engine/rpc/answering/answer-options.js';
export { RpcBadReplyError, RpcFailure, RpcRemoteError } from './engine/rpc/wire/remote-error.js';
export type { RemoteErrorFields } from './engine/rpc/wire/remote-error.js';
export { defineRpc, isRpcContract } from './engine/contracts/rpc.js';
export type { RpcAddress, RpcContract, RpcInput, RpcPayload, RpcResult } from './engine/contracts/rpc.js';

// --- errors ----------------------------------------------------------------------------------------------------------
export {
  ChannelClosedError,
  ChannelsExhaustedError,
  ClosesTheLinkError,
  ConsumerCancelledError,
  ConsumeRefusedError,
  DeadLettersUnreachableError,
  NoAnswerYetError,
  NotSingleActiveError,
  TopologyRefusedError,
} from './engine/errors/channel-errors.js';
export {
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  EventLoopBlockedError,
  GaveUpError,
  HeartbeatThreadError,
  IllegalStateError,
  LinkLostError,
  LoginRefusedError,
  NoAddressError,
  NoConfirmsError,
  NotOpenError,
  PeerDeadError,
  ProcessStoppedError,
  RecoveryStalledError,
} from './engine/errors/connection-errors.js';
export {
  DeduplicationError,
  DeliveryLimitError,
  HandlerTimeoutError,
  MessageTooLargeError,
  PayloadInvalidError,
  PayloadNotDecodableError,
  PoisonMessageError,
} from './engine/errors/delivery-errors.js';
export type { DeduplicationStep, PayloadIssue } from './engine/errors/delivery-errors.js';
export {
  NotReadyError,
  OutboxFullError,
  PayloadNotEncodableError,
  PayloadTooLargeError,
  PublishAbortedError,
  PublishClosedError,
  PublishError,
  PublishNackedError,
  PublishRefusedError,
  PublishReturnedError,
  PublishTimeoutError,
} from './engine/errors/publish-errors.js';
export type { PublishAddress } from './engine/errors/publish-errors.js';
export { OptionsError } from './engine/errors/options-error.js';
export {
  ReplyToRefusedError,
  RmqRpcError,
  RpcAbortedError,
  RpcClosedError,
  RpcLinkLostError,
  RpcRefusedError,
  RpcTimeoutError,
  RpcTooManyCallsError,
  RpcUnroutableError,
} from './engine/errors/rpc-errors.js';
export type { CallAddress } from './engine/errors/rpc-errors.js';
export { RmqError } from './engine/errors/rmq-error.js';
export type { RmqErrorCode } from './engine/errors/rmq-error.js';
