import { describe, expect, it } from '@jest/globals';
import { publicNames, shownCode } from '../support/repository/public-names.js';

const MOST_NAMES_OF_THE_MAIN_ENTRY = 75;

/** By entry, in the order of the alphabet. A name that is added here was needed, documented and shown first. */
const NAMES: Readonly<Record<string, string>> = {
  '.': `
    AddressProvider BatchHandler BatchSubscriptionOptions BodyProperties ClaimAnswer Codec ConnectionEvent
    ConnectionState ConnectionStatus CredentialsProvider DEAD_LETTER_HEADERS DeadLetter DeduplicationClaim
    DeduplicationStore Delivery DeliveryBatch DeliveryHandler DeliveryHeaders EncodedBody EventContract EventInput
    EventPayload InjectRmqConnection InjectRmqDeadLetters InjectRmqPublisher InjectRmqRpcClient JsonCodec
    MessageHeaders MessageToPublish ORIGIN_HEADERS OptionsError PayloadInvalidError PublishError PublishOptions
    PublishReturnedError REPUBLISHED_HEADER RETRY_HEADERS ReplayReport Reply RetryOptions
    RmqAround RmqConnection RmqConnectionOptions RmqDeadLetters RmqError RmqErrorCode RmqKeepaliveModule RmqPublisher
    RmqRpcClient RmqRpcError Rpc RpcContract RpcFailure RpcHandlerOptions RpcPayload RpcRemoteError RpcRequestOptions
    RpcResult Settlement StandardSchema Subscribe SubscribeBatch SubscribeBatchOptions SubscribeOptions Subscription
    SubscriptionOptions TopologyOptions defineEvent defineRpc describeEvent getRmqConnectionToken
    getRmqDeadLettersToken getRmqPublisherToken getRmqRpcClientToken validateAgainst
  `,
  './errors': `
    AroundCalledTwiceError CallAddress ChannelClosedError ChannelsExhaustedError ClosesTheLinkError ConnectFailedError ConnectTimeoutError
    ConnectionClosedError ConsumeRefusedError ConsumerCancelledError CredentialsChangedError
    DeadLettersUnreachableError DeduplicationError DeliveryLimitError EventLoopBlockedError GaveUpError
    HandlerTimeoutError HeartbeatThreadError IllegalStateError LinkLostError LoginRefusedError MessageTooLargeError
    NoAddressError NoAnswerYetError NoConfirmsError NoCredentialsError NotOpenError NotReadyError NotSingleActiveError
    OptionsError OutboxFullError PayloadInvalidError PayloadIssue PayloadNotDecodableError PayloadNotEncodableError
    PayloadTooLargeError PeerDeadError PoisonMessageError ProcessStoppedError PublishAbortedError PublishAddress
    PublishAroundError PublishClosedError PublishError PublishNackedError PublishRefusedError PublishReturnedError PublishTimeoutError
    RecoveryStalledError ReplyToRefusedError RmqError RmqErrorCode RmqRpcError RpcAbortedError RpcBadReplyError
    RpcClosedError RpcFailure RpcLinkLostError RpcRefusedError RpcRemoteError RpcTimeoutError RpcTooManyCallsError
    RpcUnroutableError TopologyRefusedError
  `,
  './terminus': `
    HealthDetails HealthReason HealthVerdict PublicHealth RmqHealthCheckOptions RmqHealthIndicator RmqHealthModule
    RmqHealthOptions verdict
  `,
  './microservices': `
    RmqClient RmqClientOptions RmqServer RmqServerContext RmqServerOptions RmqTransportEvents RmqTransportStatus
    TransportChannel
  `,
  './opentelemetry': `
    OpenTelemetryOptions openTelemetry
  `,
  './testing': `
    Accident AccidentOptions BrokerUnavailableError HandledMessage HarnessError HarnessOptions PrivateBroker PrivateBrokerOptions
    PublishedMessage RmqTestHarness RunningBrokerAddress SettledOptions
  `,
};

describe('the public names', () => {
  const names = publicNames();
  const listed = (subpath: string): string[] => (NAMES[subpath] ?? '').split(/\s+/).filter(Boolean);

  it.each([...names.keys()])('of %s are these', (subpath) => {
    expect(names.get(subpath)?.map(({ name }) => name)).toEqual(listed(subpath));
  });

  it('stand in this spec for every entry of the package, and for none besides', () => {
    expect(Object.keys(NAMES)).toEqual([...names.keys()]);
  });

  it(`are ${MOST_NAMES_OF_THE_MAIN_ENTRY} at most in the main entry`, () => {
    expect(names.get('.')?.length).toBeGreaterThan(0);
    expect(names.get('.')?.length).toBeLessThanOrEqual(MOST_NAMES_OF_THE_MAIN_ENTRY);
  });

  it.each([...names.keys()])('of %s are all documented', (subpath) => {
    const undocumented = names.get(subpath)?.filter(({ documentation }) => documentation === '');
    expect(undocumented).toEqual([]);
  });

  it('of the main entry are all shown in an example', () => {
    const shown = new Set(shownCode().match(/\b[A-Za-z_]\w*\b/g));
    expect(names.get('.')?.filter(({ name }) => !shown.has(name))).toEqual([]);
  });

  it('that the main entry shares with the errors are all error classes of that entry', () => {
    const errors = new Set(names.get('./errors')?.map(({ name }) => name));
    const alone = names.get('.')?.filter(({ name }) => /(Error|ErrorCode|Failure)$/.test(name) && !errors.has(name));
    expect(alone).toEqual([]);
  });
});
