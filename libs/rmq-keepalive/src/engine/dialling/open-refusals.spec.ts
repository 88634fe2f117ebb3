import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { ManualClock } from '../../../../../test/support/manual-clock.js';
import { type OpenRefusal, OpenRefusals } from './open-refusals.js';

const CONNECTION_CLOSE = Buffer.from([0, 10, 0, 50]);

/** A method frame on channel 0. */
function frame(payload: Buffer, announced = payload.length): Buffer {
  const head = Buffer.alloc(7);
  head.writeUInt8(1, 0);
  head.writeUInt32BE(announced, 3);
  return Buffer.concat([head, payload, Buffer.from([0xce])]);
}

describe('when a peer is asked why it refuses to open a connection', () => {
  let server: Server;
  let answer: Buffer;
  let peer: Promise<Socket>;

  beforeEach(async () => {
    server = createServer();
    peer = once(server, 'connection').then(([socket]) => {
      (socket as Socket).on('error', () => undefined).once('data', () => (socket as Socket).write(answer));
      return socket as Socket;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    (await peer).destroy();
    server.close();
  });

  function ask(): Promise<OpenRefusal | undefined> {
    const { port } = server.address() as AddressInfo;
    const dial = {
      vhost: '/',
      login: { mechanism: 'PLAIN', response: Buffer.alloc(0) },
      socket: { host: '127.0.0.1', port },
      isTls: false,
    };
    return new OpenRefusals(new ManualClock()).of('peer', () => dial, new AbortController().signal);
  }

  it('has its words', async () => {
    answer = frame(Buffer.concat([CONNECTION_CLOSE, Buffer.from([2, 18, 2]), Buffer.from('no'), Buffer.alloc(4)]));
    expect(await ask()).toEqual({ replyCode: 530, replyText: 'no' });
  });

  it('has no words when its connection.close is cut short, and harms nobody', async () => {
    answer = frame(CONNECTION_CLOSE);
    expect(await ask()).toBeUndefined();
  });

  it('is hung up on when it announces a frame that is larger than any answer', async () => {
    jest.spyOn(AbortSignal, 'timeout').mockReturnValueOnce(new AbortController().signal);
    answer = frame(CONNECTION_CLOSE, 0x7fff_ffff);
    expect(await ask()).toBeUndefined();
  }, 10_000);
});
