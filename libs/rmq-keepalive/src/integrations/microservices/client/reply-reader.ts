/** From the replies to one request to the packets that Nest's observer understands, in the order of the wire. */
import type { Deserializer, IncomingResponse, WritePacket } from '@nestjs/microservices';
import type { ConsumeMessage } from 'amqplib';
import { refuseUnreadable } from '../../../engine/codec/readable.js';
import type { Call, CallListener } from '../../../engine/rpc/calling/call.js';
import { isThenable } from '../../../engine/base/thenable.js';
import { packetCodec } from '../packets/packet-codec.js';

export class ReplyReader implements CallListener {
  /** With a deserializer that takes its time: those that came before. */
  #earlier: Promise<void> | undefined;

  constructor(
    private readonly deserializer: Deserializer,
    private readonly callback: (packet: WritePacket) => void,
  ) {}

  /** What it throws ends the call, with that as its error. */
  reply({ content, properties }: ConsumeMessage, call: Call): void {
    call.renew();
    refuseUnreadable(properties);
    const packet: unknown = this.deserializer.deserialize(packetCodec.decode(content), properties);
    if (this.#earlier === undefined && !isThenable(packet)) return this.#heard(packet as IncomingResponse, call);
    this.#earlier = this.#inTurn(this.#earlier, packet as Promise<IncomingResponse>, call);
  }

  ended(err: Error | undefined): void {
    if (err !== undefined) this.callback({ err });
  }

  async #inTurn(earlier: Promise<void> | undefined, packet: Promise<IncomingResponse>, call: Call): Promise<void> {
    try {
      await earlier;
      this.#heard(await packet, call);
    } catch (thrown) {
      call.end(thrown as Error);
    }
  }

  #heard({ err, response, isDisposed }: IncomingResponse, call: Call): void {
    if (call.isEnded) return;
    const isLast = isDisposed === true || Boolean(err);
    if (isLast) call.end();
    this.callback(isLast ? { err, response, isDisposed: true } : { err, response });
  }
}
