// The public names of `nestjs-rmq-keepalive`, 75 at most: `test/repository/public-names.spec.ts` holds the list. Every error
// class is in `nestjs-rmq-keepalive/errors`; those whose fields a program reads are here too. Integrations have entries of
// their own. A part of an option or of a report that has no name here is named by its path: `RmqConnectionOptions['heartbeat']`.

// --- Nest ------------------------------------------------------------------------------------------------------------
export { RmqKeepaliveModule } from './nest/rmq-keepalive.module.js';
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
  getRmqConnectionToken,
  getRmqDeadLettersToken,
  getRmqPublisherToken,
  getRmqRpcClientToken,
} from './nest/connections/connection-tokens.js';

// --- the connection --------------------------------------------------------------------------------------------------
export { RmqConnection } from './engine/connection/rmq-connection.js';
export type { RmqConnectionOptions } from './engine/connection/connection-options.js';
export type { AddressProvider } from './engine/dialling/endpoint-rotation.js';
export type { CredentialsProvider } from './engine/dialling/credentials.js';
export type { ConnectionState } from './engine/reporting/lifecycle.js';
export type { ConnectionEvent } from './engine/reporting/events.js';
export { describeEvent } from './engine/reporting/event-sentences.js';
export type { ConnectionStatus } from './engine/reporting/status.js';
export type { TopologyOptions } from './engine/topology/topology.js';

// --- consuming -------------------------------------------------------------------------------------------------------
export { Delivery } from './engine/consuming/delivery/delivery.js';
export type { MessageHeaders } from './engine/wire/message-headers.js';
export { DeliveryBatch } from './engine/consuming/delivery/delivery-batch.js';
export { Settlement } from './engine/consuming/delivery/settlement.js';
export type { RetryOptions } from './engine/consuming/options/retry-policy.js';
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
export type { Subscription } from './engine/consuming/attaching/subscription-handle.js';
export { DEAD_LETTER_HEADERS } from './engine/consuming/failures/move-to-dead-letters.js';
export { ORIGIN_HEADERS, RETRY_HEADERS } from './engine/copies/carried-headers.js';
export { DeadLetter } from './engine/dead-letters/dead-letter.js';
export { RmqDeadLetters } from './engine/dead-letters/dead-letters.js';
export type { ReplayReport } from './engine/dead-letters/replay.js';

// --- publishing ------------------------------------------------------------------------------------------------------
export { RmqPublisher } from './engine/publishing/rmq-publisher.js';
export { REPUBLISHED_HEADER } from './engine/publishing/sending/outgoing-message.js';
export type { PublishOptions } from './engine/publishing/publish-options.js';
export type { MessageToPublish } from './engine/publishing/publish-many.js';

// --- around both ------------------------------------------------------------------------------------------------------
export type { RmqAround } from './engine/around/rmq-around.js';

// --- payloads --------------------------------------------------------------------------------------------------------
export { defineEvent, validateAgainst } from './engine/contracts/event.js';
export type { EventContract, EventInput, EventPayload } from './engine/contracts/event.js';
export type { StandardSchema } from './engine/contracts/standard-schema.js';
export type { BodyProperties, Codec, EncodedBody } from './engine/codec/codec.js';
export { JsonCodec } from './engine/codec/json-codec.js';

// --- rpc --------------------------------------------------------------------------------------------------------------
export { Reply } from './engine/rpc/answering/reply.js';
export { RmqRpcClient } from './engine/rpc/calling/rpc-client.js';
export type { RpcRequestOptions } from './engine/rpc/calling/rpc-client.js';
export { defineRpc } from './engine/contracts/rpc.js';
export type { RpcContract, RpcPayload, RpcResult } from './engine/contracts/rpc.js';

// --- errors whose fields a program reads, or that a handler throws; the others are in `nestjs-rmq-keepalive/errors` ------
export { RmqError } from './engine/errors/rmq-error.js';
export type { RmqErrorCode } from './engine/errors/rmq-error.js';
export { OptionsError } from './engine/errors/options-error.js';
export { PayloadInvalidError } from './engine/errors/delivery-errors.js';
export { PublishError, PublishReturnedError } from './engine/errors/publish-errors.js';
export { RmqRpcError, RpcFailure, RpcRemoteError } from './engine/errors/rpc-errors.js';
