/**
 * A contender that is Nest's way of messaging, with whichever transport carries it: `client.emit()` and `send()`,
 * `@EventPattern` and `@MessagePattern`, acks by hand.
 */
import { EVENT_PATTERN } from './protocol.mjs';

/**
 * @param nest the modules `common`, `core` and `microservices`, of whose copies of Nest there may be two
 * @param transport `clientOf` makes a ClientProxy of its options, `serving` what `createMicroservice` takes
 */
export function nestTransport({ common, core, microservices }, { clientOf, serving }) {
  const { Ctx, EventPattern, MessagePattern, Payload } = microservices;

  async function openPublisher({ url, queue, persistent }) {
    const client = clientOf({ urls: [url], queue, queueOptions: { durable: true }, persistent });
    await client.connect();
    return ({ pattern, data }, settle) =>
      client.emit(pattern, data).subscribe({ complete: () => settle(), error: settle });
  }

  async function openConsumer({ url, queue, prefetch, handle }) {
    class BenchController {
      onEvent(data, context) {
        handle(data);
        context.getChannelRef().ack(context.getMessage());
      }
    }
    decorate(BenchController, 'onEvent', EventPattern(EVENT_PATTERN));
    await listen(BenchController, { urls: [url], queue, prefetchCount: prefetch });
  }

  async function openCaller({ url, queue }) {
    const client = clientOf({ urls: [url], queue, queueOptions: { durable: true } });
    await client.connect();
    return ({ pattern, data }, settle) =>
      client.send(pattern, data).subscribe({ next: (answer) => settle(undefined, answer), error: settle });
  }

  async function openResponder({ url, queue, prefetch, answer }) {
    class BenchController {
      onRequest(data, context) {
        context.getChannelRef().ack(context.getMessage());
        return answer(data);
      }
    }
    decorate(BenchController, 'onRequest', MessagePattern(EVENT_PATTERN));
    await listen(BenchController, { urls: [url], queue, prefetchCount: prefetch });
  }

  function decorate({ prototype }, name, pattern) {
    Payload()(prototype, name, 0);
    Ctx()(prototype, name, 1);
    pattern(prototype, name, Object.getOwnPropertyDescriptor(prototype, name));
  }

  async function listen(controller, given) {
    common.Controller()(controller);
    class BenchModule {}
    common.Module({ controllers: [controller] })(BenchModule);
    const options = { ...given, queueOptions: { durable: true }, noAck: false };
    const app = await core.NestFactory.createMicroservice(BenchModule, { ...serving(options), logger: false });
    await app.listen();
  }

  return { openPublisher, openConsumer, openCaller, openResponder };
}
