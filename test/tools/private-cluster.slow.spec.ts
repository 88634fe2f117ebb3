import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'amqplib';
import type { PrivateBroker } from '#testing/real/private-broker.js';
import { type ClusterVhost, PrivateCluster } from '../../tools/broker/private-cluster.js';
import { until } from '../support/until.js';

let cluster: PrivateCluster;
let vhost: ClusterVhost;

beforeAll(async () => {
  cluster = await PrivateCluster.start();
  vhost = await cluster.createVhost();
}, 120_000);

afterAll(() => cluster.stop(), 30_000);

function addressOf(node: PrivateBroker): string {
  return vhost.urls[cluster.nodes.indexOf(node)]!;
}

async function publishVia(node: PrivateBroker, queue: string, body: string): Promise<void> {
  const connection = await connect(addressOf(node), { noDelay: true });
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  channel.sendToQueue(queue, Buffer.from(body));
  await channel.waitForConfirms();
  await connection.close();
}

async function takeVia(node: PrivateBroker, queue: string): Promise<string | undefined> {
  const connection = await connect(addressOf(node), { noDelay: true });
  const message = await (await connection.createChannel()).get(queue, { noAck: true });
  await connection.close();
  return message ? message.content.toString() : undefined;
}

describe('a private cluster', () => {
  it('is one: what is published on one node is taken from another', async () => {
    expect(new Set(cluster.urls).size).toBe(3);
    const [first, second] = cluster.nodes;
    expect(await cluster.membersSeenBy(first!)).toEqual(cluster.nodes.map(({ nodeName }) => nodeName));
    await publishVia(first!, 'shared', 'from the first');
    expect(await takeVia(second!, 'shared')).toBe('from the first');
  });

  it('elects another leader when the leader is killed, loses nothing, and is whole again after its restart', async () => {
    await publishVia(cluster.nodes[0]!, 'led', 'survives');
    const leader = await cluster.leaderOf('led', vhost.name);
    const follower = cluster.nodes.find((node) => node !== leader)!;
    await leader.kill();
    await until('another node leads', async () => (await cluster.leaderOf('led', vhost.name, follower)) !== leader);
    expect(await takeVia(follower, 'led')).toBe('survives');
    await leader.restart();
    await cluster.untilComplete();
  }, 60_000);

  it('can lose sight of a node, whose clients stay connected', async () => {
    const [node, other] = cluster.nodes;
    const connection = await connect(addressOf(node!), { noDelay: true });
    let hasClosed = false;
    connection.once('close', () => (hasClosed = true));
    await cluster.isolate(node!);
    await until('the others miss it', async () => (await cluster.membersSeenBy(other!)).length === 2);
    await connection.createChannel();
    expect(hasClosed).toBe(false);
    await connection.close();
    await cluster.rejoin(node!);
    await node!.restart();
    await cluster.untilComplete();
  }, 60_000);
});
