#!/usr/bin/env bash
# A consumer of a stream notes the offset it has reached, and goes on behind it when it comes back.
#
# Expected: an offset that the stream does not have (any more, or yet) is refused, or the consumer begins at the end.
# Seen:     an offset that was truncated away begins at the oldest message there is. One that is ahead waits until the
#           stream has grown to it. Both are silent. So when the stream was deleted and made again (a new vhost, a new disk),
#           the consumer is attached, healthy and idle while messages come, and has skipped all up to its old offset
#           when it starts. The count in a passive declare does not help: right after publishing it says 0.
# Versions: RabbitMQ 3.10.8, 4.0.5, 4.3.6 (Debian 12, 13, testing); amqplib 2.3.1 (npm).
# Matters:  keep with the offset what tells that it is the same stream (the time of the last message, a name with a date), and
#           forget it when the stream was missing (404).
set -euo pipefail
source "$(dirname "$0")/lib/finding.sh"

run_on 3.10 4.0 4.3 <<'PROGRAM'
const texts = (name, count) => Array.from({ length: count }, (_, index) => `${name}${index}`);

export default async ({ open, declare, send, collect, until, sleep, see, expect }) => {
  const channel = await open();
  const readFrom = async (offset) => {
    const reader = await open();
    await reader.prefetch(1_000);
    const { got, texts } = await collect(reader, 'stream', { arguments: { 'x-stream-offset': offset } });
    return { got, texts, link: reader.link };
  };

  await declare(channel, 'stream', 'stream');
  await send(channel, 'stream', texts('old', 6));
  const before = await readFrom('first');
  await until(() => before.got.length === 6);
  const next = before.got.at(-1).properties.headers['x-stream-offset'] + 1;
  await before.link.close();
  see(`read ${before.texts().join(' ')}; to go on at offset ${next}`);

  await channel.deleteQueue('stream');
  await declare(channel, 'stream', 'stream');
  const after = await readFrom(next);
  await send(channel, 'stream', texts('new', 6));
  const { messageCount } = await channel.checkQueue('stream');
  await sleep(2_000);
  see(`the stream was made again and six messages sent (it says ${messageCount}); read from ${next}: ${after.texts().join(' ') || 'nothing'}`);
  expect('the consumer waits, and nobody tells', after.got.length === 0);
  await send(channel, 'stream', ['new6', 'new7']);
  await until(() => after.got.length === 2);
  expect(`after two more it has ${after.texts().join(' ')}`, `${after.texts()}` === 'new6,new7');
  await after.link.close();

  await channel.deleteQueue('stream');
  await declare(channel, 'stream', 'stream', { 'x-max-length-bytes': 20_000, 'x-stream-max-segment-size-bytes': 5_000 });
  for (const text of texts('m', 150)) await send(channel, 'stream', [text.padEnd(500)]);
  await sleep(1_000);
  const truncated = await readFrom(0);
  await until(() => truncated.got.length > 0);
  const first = truncated.got[0].properties.headers['x-stream-offset'];
  expect(`a stream that was truncated, read from 0: begins at ${first}, and nobody tells`, first > 0);
  await truncated.link.close();
};
PROGRAM
