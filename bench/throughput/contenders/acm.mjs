import { connect } from 'amqp-connection-manager';

export async function openPublisher({ url, queue, persistent }) {
  const wrapper = connect([url]).createChannel({ json: true });
  await wrapper.waitForConnect();
  return (payload, settle) => void wrapper.sendToQueue(queue, payload, { persistent }).then(() => settle(), settle);
}

export async function openConsumer({ url, queue, prefetch, handle }) {
  const wrapper = connect([url]).createChannel();
  const onMessage = (message) => {
    handle(JSON.parse(message.content.toString()));
    wrapper.ack(message);
  };
  await wrapper.consume(queue, onMessage, { prefetch });
}
