// The public names of `nestjs-rmq-keepalive/errors`: every error class of the library, by blast radius. All extend `RmqError`
// and have a stable `code`, but for `RpcFailure`, which is what a handler of yours throws, with a code of yours. The classes that the main entry exports too are the same ones.
export { RmqError } from './engine/errors/rmq-error.js';
export type { RmqErrorCode } from './engine/errors/rmq-error.js';
export { OptionsError } from './engine/errors/options-error.js';

// --- a delivery ------------------------------------------------------------------------------------------------------
export {
  AroundCalledTwiceError,
  DeduplicationError,
  DeliveryLimitError,
  HandlerTimeoutError,
  MessageTooLargeError,
  PayloadInvalidError,
  PayloadNotDecodableError,
  PoisonMessageError,
} from './engine/errors/delivery-errors.js';
export type { PayloadIssue } from './engine/errors/delivery-errors.js';

// --- a publish -------------------------------------------------------------------------------------------------------
export {
  NotReadyError,
  OutboxFullError,
  PayloadNotEncodableError,
  PayloadTooLargeError,
  PublishAbortedError,
  PublishAroundError,
  PublishClosedError,
  PublishError,
  PublishNackedError,
  PublishRefusedError,
  PublishReturnedError,
  PublishTimeoutError,
} from './engine/errors/publish-errors.js';
export type { PublishAddress } from './engine/errors/publish-errors.js';

// --- a call ----------------------------------------------------------------------------------------------------------
export {
  ReplyToRefusedError,
  RmqRpcError,
  RpcAbortedError,
  RpcBadReplyError,
  RpcClosedError,
  RpcFailure,
  RpcLinkLostError,
  RpcRefusedError,
  RpcRemoteError,
  RpcTimeoutError,
  RpcTooManyCallsError,
  RpcUnroutableError,
} from './engine/errors/rpc-errors.js';
export type { CallAddress } from './engine/errors/rpc-errors.js';

// --- a channel: an entity of the topology, a consumer -----------------------------------------------------------------
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

// --- a link, or the connection ---------------------------------------------------------------------------------------
export {
  ConnectFailedError,
  ConnectionClosedError,
  ConnectTimeoutError,
  CredentialsChangedError,
  EventLoopBlockedError,
  GaveUpError,
  HeartbeatThreadError,
  IllegalStateError,
  LinkLostError,
  LoginRefusedError,
  NoAddressError,
  NoConfirmsError,
  NoCredentialsError,
  NotOpenError,
  PeerDeadError,
  ProcessStoppedError,
  RecoveryStalledError,
} from './engine/errors/connection-errors.js';
