import { describe, expect, it } from '@jest/globals';
import { ScriptedBroker } from '../../tools/broker/scripted-broker.js';
import { OptionsError } from '#engine/errors/options-error.js';
import { useFaults } from '../support/fault-fixture.js';
import { until } from '../support/until.js';

const LIMIT_MS = 300;

describe('a broker that confirms nothing', () => {
  const faults = useFaults();

  async function scripted(confirms: 'all' | 'nothing'): Promise<ScriptedBroker> {
    const broker = await ScriptedBroker.start();
    faults.afterwards(() => broker.close());
    // It says that it will confirm, and forgets about it.
    if (confirms === 'nothing')
      broker.manners.script['confirm.select'] = (session, { channel }) => session.send('confirm.select-ok', channel);
    return broker;
  }
  const losses = () => faults.oracle.eventsOf('link-lost').map(({ event }) => (event.cause as { code?: string }).code);

  it('is left for the next address with what was under way, under the same message id, and is avoided from then on', async () => {
    const [mute, good] = [await scripted('nothing'), await scripted('all')];
    const connection = faults.connect({ urls: [mute.url, good.url], publish: { noConfirmsAfterMs: LIMIT_MS } });
    await connection.start();
    await connection.publisher.publish('', 'work', { id: 1 }, { messageId: 'one', timeoutMs: 10_000 });

    expect(losses()).toEqual(['RMQ_NO_CONFIRMS']);
    expect(mute.lastSession.messages.map(({ properties }) => properties['messageId'])).toEqual(['one']);
    const [resent] = good.lastSession.messages;
    expect(resent?.properties).toMatchObject({ messageId: 'one', headers: { 'x-republished': 1 } });

    const dials = mute.sessions.length;
    good.lastSession.reset();
    await until('it is back', () => good.openSessions.length === 1 && connection.state.name === 'open');
    expect(mute.sessions).toHaveLength(dials);
  });

  it('is dialled all the same when no other address answers', async () => {
    const [mute, good] = [await scripted('nothing'), await scripted('all')];
    const connection = faults.connect({ urls: [mute.url, good.url], publish: { noConfirmsAfterMs: LIMIT_MS } });
    await connection.start();
    await connection.publisher.publish('', 'work', {}, { timeoutMs: 10_000 });
    await good.close();
    await until('the other one has its turn', () => mute.openSessions.length > 0);
  });

  it('is not dialled in a loop when it is the only one: each pause is longer than the one before', async () => {
    const mute = await scripted('nothing');
    const connection = faults.connect({ urls: mute.url, publish: { noConfirmsAfterMs: LIMIT_MS } });
    await connection.start();
    void faults.oracle.publish(connection, '', 'work', 'one');
    await until('the third link confirmed nothing either', () => losses().length === 3);
    const waits = faults.oracle
      .eventsOf('link-lost')
      .map(({ event }) => (event.cause as { waitedMs?: number }).waitedMs);
    expect(waits.map((ms, index) => ms! >= LIMIT_MS * 2 ** index)).toEqual([true, true, true]);
    expect(mute.sessions.flatMap(({ messages }) => messages)).toHaveLength(3);
  });

  it('is given its time while its alarm holds publishers back', async () => {
    const mute = await scripted('nothing');
    const connection = faults.connect({ urls: mute.url, publish: { noConfirmsAfterMs: LIMIT_MS } });
    await connection.start();
    const publish = faults.oracle.publish(connection, '', 'work', 'one', 5 * LIMIT_MS);
    await until('it has the message', () => mute.lastSession.messages.length > 0);
    mute.lastSession.block();
    await publish;
    expect(faults.oracle.rejected).toMatchObject([{ error: { code: 'RMQ_PUBLISH_TIMEOUT' } }]);
    expect(losses()).toEqual([]);
  });

  it('control: is kept for ever with Infinity', async () => {
    const [mute, good] = [await scripted('nothing'), await scripted('all')];
    const connection = faults.connect({ urls: [mute.url, good.url], publish: { noConfirmsAfterMs: Infinity } });
    await connection.start();
    await faults.oracle.publish(connection, '', 'work', 'one', 5 * LIMIT_MS);
    expect(faults.oracle.rejected).toMatchObject([{ error: { code: 'RMQ_PUBLISH_TIMEOUT' } }]);
    expect([losses(), good.sessions]).toEqual([[], []]);
  });

  it.each([0, 99, -1, Number.NaN, '1000'])('%p is no limit', (noConfirmsAfterMs) => {
    const connect = () => faults.connect({ publish: { noConfirmsAfterMs: noConfirmsAfterMs as number } });
    expect(connect).toThrow(OptionsError);
    expect(connect).toThrow('publish.noConfirmsAfterMs');
  });

  it('has a limit for the link, not for one publisher of it', () => {
    const publish = { noConfirmsAfterMs: 1_000 } as object;
    expect(() => faults.connect().createPublisher({ publish })).toThrow('no option "noConfirmsAfterMs"');
  });
});
