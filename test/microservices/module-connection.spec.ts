import { describe, expect, it } from '@jest/globals';
import {
  Controller,
  type INestApplication,
  type INestMicroservice,
  Inject,
  Injectable,
  type ModuleMetadata,
  type OnModuleInit,
  ParseIntPipe,
} from '@nestjs/common';
import { type ClientProxy, ClientsModule, EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { RmqConnection, RmqKeepaliveModule, Subscribe } from 'nestjs-rmq-keepalive';
import { RmqClient, type RmqClientOptions, RmqServer, type RmqServerOptions } from 'nestjs-rmq-keepalive/microservices';
import { firstValueFrom, lastValueFrom, Subject } from 'rxjs';
import { useNest } from '../support/nest-fixture.js';
import { until } from '../support/until.js';

@Controller()
class Echo {
  @MessagePattern('echo')
  echo(text: unknown): unknown {
    return text;
  }
}

const clientModule = (options: RmqClientOptions) =>
  ClientsModule.register([{ name: 'ORDERS', customClass: RmqClient, options }]);

describe('the transport on a connection of the module', () => {
  const nest = useNest();

  /** A hybrid application, its microservice started. */
  async function hybrid(metadata: ModuleMetadata, server: RmqServerOptions): Promise<INestApplication> {
    return nest.boot(metadata, {
      prepare: (app) => {
        app.connectMicroservice({ strategy: new RmqServer(server) }, { inheritAppConfig: true });
      },
    });
  }

  const consumers = () => nest.broker.listConsumers(nest.vhost.name);

  it('uses its links, and is counted in its status', async () => {
    const server = { connection: 'default', queue: 'orders' };
    const app = await hybrid({ controllers: [Echo], imports: [clientModule(server)] }, server);
    await app.startAllMicroservices();
    expect(await firstValueFrom(app.get<ClientProxy>('ORDERS').send('echo', 'a'))).toBe('a');
    const connection = app.get(RmqConnection);
    expect(connection.status().consumers).toMatchObject({ wanted: 1, attached: 1 });
    const names = (await nest.broker.listConnections(nest.vhost.name)).map(({ userProvidedName }) => userProvidedName);
    expect(names.map((name) => name.split(' ').slice(1).join(' ')).toSorted()).toEqual([
      'default consuming',
      'default publishing',
    ]);
  });

  it('may start before the application is initialised, as hybrid applications do', async () => {
    const { app } = await created({ controllers: [Echo] }, { connection: 'default', queue: 'orders' });
    await app.startAllMicroservices();
    await until('it consumes', async () => (await consumers()).length === 1);
  });

  it('inherits the global pipes of the application', async () => {
    @Controller()
    class Numbers {
      @MessagePattern('number')
      number(@Payload() n: number): string {
        return typeof n;
      }
    }
    const server = { connection: 'default', queue: 'orders' };
    const app = await nest.boot(
      { controllers: [Numbers], imports: [clientModule(server)] },
      {
        prepare: (prepared) => {
          prepared.useGlobalPipes(new ParseIntPipe());
          prepared.connectMicroservice({ strategy: new RmqServer(server) }, { inheritAppConfig: true });
        },
      },
    );
    await app.startAllMicroservices();
    expect(await firstValueFrom(app.get<ClientProxy>('ORDERS').send('number', '7'))).toBe('number');
  });

  it('finds a connection by its name, and says which there are when there is no such one', async () => {
    const named = (connection: string) =>
      created({ controllers: [Echo], imports: [nest.forRoot({ name: 'audit' })] }, { connection, queue: 'orders' });
    const { app } = await named('audit');
    await app.startAllMicroservices();
    const { app: other } = await named('adit');
    await expect(other.startAllMicroservices()).rejects.toThrow(/there is no connection "adit".*"audit"/);
  });

  it('wants to be told which connection, where there is a module and no address', async () => {
    const { app } = await created({ controllers: [Echo] }, { queue: 'orders' });
    await expect(app.startAllMicroservices()).rejects.toThrow(/Say which: connection: 'default', or urls/);
  });

  it('takes the connection itself, in a microservice whose options are made from it', async () => {
    const module = await Test.createTestingModule({ controllers: [Echo], imports: [nest.forRoot()] }).compile();
    const connection = module.get(RmqConnection);
    const app: INestMicroservice = module.createNestMicroservice({
      strategy: new RmqServer({ connection, queue: 'orders' }),
      logger: false,
    });
    nest.afterwards(() => app.close());
    await app.listen();
    expect(app.unwrap()).toBe(connection);
    const client = new RmqClient({ connection, queue: 'orders' });
    nest.afterwards(() => client.close());
    expect(await firstValueFrom(client.send('echo', 1))).toBe(1);
    await client.close();
    expect(connection.state.name).toBe('open');
  });

  it('says what to do when nobody can know the name', async () => {
    const client = new RmqClient({ connection: 'default', queue: 'orders' });
    await expect(firstValueFrom(client.send('echo', 1))).rejects.toThrow(/Import RmqKeepaliveModule.forRoot/);
  });

  it('serves a client in onModuleInit of a module, before anything is connected', async () => {
    const answers: unknown[] = [];
    const server = { connection: 'default', queue: 'orders' };
    @Injectable()
    class Early implements OnModuleInit {
      constructor(@Inject('ORDERS') private readonly orders: ClientProxy) {}
      onModuleInit(): void {
        this.orders.send('echo', 'early').subscribe((answer) => answers.push(answer));
      }
    }
    const app = await hybrid({ controllers: [Echo], providers: [Early], imports: [clientModule(server)] }, server);
    await app.startAllMicroservices();
    await until('it is answered', () => answers.length === 1);
  });

  it('declares what a client sends to before it sends there, also on a link that is up already', async () => {
    const app = await nest.boot({});
    const connection = app.get(RmqConnection);
    await connection.publisher.publish('', 'warm-up', {}, { mandatory: false });
    for (let n = 0; n < 20; n++) {
      const client = new RmqClient({ connection, queue: `new-${n}` });
      await lastValueFrom(client.emit('event', n), { defaultValue: undefined });
      await client.close();
    }
    const queues = await nest.broker.listQueues(nest.vhost.name);
    expect(queues.filter(({ messages }) => messages === 1)).toHaveLength(20);
  });

  it('drains with the connection: what it has taken is answered, and may still call and emit', async () => {
    const begun = new Subject<void>();
    const released = new Subject<void>();
    const seen: unknown[] = [];
    @Controller()
    class Slow {
      constructor(@Inject('ORDERS') private readonly orders: ClientProxy) {}
      @EventPattern(['slow'])
      async onSlow(): Promise<void> {
        begun.next();
        await firstValueFrom(released);
        await lastValueFrom(this.orders.emit('after', 'x'), { defaultValue: undefined });
        seen.push('done');
      }
    }
    class Other {
      @Subscribe({ queue: 'other' })
      on(): void {}
    }
    const options = { connection: 'default', queue: 'orders' };
    const metadata = { controllers: [Slow], providers: [Other], imports: [clientModule(options)] };
    const app = await hybrid(metadata, { ...options, ack: 'auto' });
    await app.startAllMicroservices();
    const hasBegun = firstValueFrom(begun);
    await lastValueFrom(app.get<ClientProxy>('ORDERS').emit('slow', 1), { defaultValue: undefined });
    await hasBegun;
    const closing = app.close();
    await until('nothing is taken any more', async () => (await consumers()).length === 0);
    released.next();
    await closing;
    expect(seen).toEqual(['done']);
    const [orders] = (await nest.broker.listQueues(nest.vhost.name)).filter(({ name }) => name === 'orders');
    expect(orders?.messages).toBe(1);
  });

  it('refuses a server and a client that want one queue declared in two ways', async () => {
    const { app } = await created(
      {
        controllers: [Echo],
        imports: [clientModule({ connection: 'default', queue: 'orders', queueOptions: { durable: false } })],
      },
      { connection: 'default', queue: 'orders' },
    );
    await app.startAllMicroservices();
    await app.init();
    await expect(app.get<ClientProxy>('ORDERS').connect()).rejects.toThrow(/is wanted in two ways/);
  });

  /** A hybrid application that is not initialised yet. */
  async function created(metadata: ModuleMetadata, server: RmqServerOptions): Promise<{ app: INestApplication }> {
    const imports = metadata.imports?.some(isKeepalive)
      ? metadata.imports
      : [nest.forRoot(), ...(metadata.imports ?? [])];
    const module = await Test.createTestingModule({ ...metadata, imports })
      .setLogger(false as never)
      .compile();
    const app = module.createNestApplication({ logger: false });
    app.connectMicroservice({ strategy: new RmqServer(server) });
    nest.afterwards(() => app.close());
    return { app };
  }
});

function isKeepalive(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'module' in value && value.module === RmqKeepaliveModule;
}
