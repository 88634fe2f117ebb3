/**
 * How many messages the queues of a vhost hold, at this moment.
 *
 * What the broker lists of a quorum queue is as old as its last tick, so the queue's own state is asked. A queue that is deleted
 * meanwhile holds nothing.
 */
import type { BrokerControl } from '../real/broker-control.js';
import { erlangBinary } from '../real/erlang-control.js';
import type { QueueLoad } from './backend.js';

export async function queueLoads(broker: BrokerControl, vhost: string): Promise<QueueLoad[]> {
  const lines = await broker.control(`
    Of = fun(Leader, Query) ->
      case ra:local_query(Leader, Query) of {ok, {_, N}, _} when is_integer(N) -> N; _ -> 0 end
    end,
    Counts = fun(Q) ->
      try case amqqueue:get_type(Q) of
        rabbit_quorum_queue ->
          Leader = amqqueue:get_pid(Q),
          [Of(Leader, fun rabbit_fifo:query_messages_ready/1), Of(Leader, fun rabbit_fifo:query_messages_checked_out/1),
           Of(Leader, fun rabbit_fifo:query_consumer_count/1)];
        rabbit_classic_queue ->
          [N || {_, N} <- rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged, consumers])];
        _ -> [0, 0, 0]
      end catch _:_ -> [0, 0, 0] end
    end,
    iolist_to_binary(rabbit_json:encode(
      [[element(4, amqqueue:get_name(Q)) | Counts(Q)] || Q <- rabbit_amqqueue:list(${erlangBinary(vhost)})]))`);
  return (JSON.parse(lines) as [string, number, number, number][]).map(([queue, ready, unacked, consumers]) => ({
    queue,
    ready,
    unacked,
    consumers,
  }));
}
