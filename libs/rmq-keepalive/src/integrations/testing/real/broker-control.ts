/** What can be asked of a running broker, and done to it, from the operator's side; each call takes a few milliseconds. */
import { randomBytes } from 'node:crypto';
import { erlangBinary } from './erlang-control.js';

interface BrokerConnection {
  /** The connection's process in the broker, for example `<0.889.0>`. */
  pid: string;
  /** `<client address> -> <broker address>`. */
  name: string;
  /** The client's port. */
  peerPort: number;
  /** The negotiated heartbeat timeout in seconds; 0 is none. */
  timeoutSeconds: number;
  /** For example `running`, `blocking`, `blocked`, `flow`. */
  state: string;
  user: string;
  vhost: string;
  channels: number;
  /** What the client called itself (`connection_name`); empty when it did not. */
  userProvidedName: string;
}

interface BrokerConsumer {
  queue: string;
  consumerTag: string;
  channelPid: string;
  ackRequired: boolean;
  prefetch: number;
  exclusive: boolean;
  isActive: boolean;
}

interface BrokerQueue {
  name: string;
  messages: number;
  messagesReady: number;
  messagesUnacknowledged: number;
  consumers: number;
  durable: boolean;
  autoDelete: boolean;
  type: 'classic' | 'quorum' | 'stream';
}

interface BrokerExchange {
  name: string;
  type: string;
  durable: boolean;
}

interface BrokerBinding {
  exchange: string;
  /** The bound queue, or exchange. */
  destination: string;
  destinationKind: 'queue' | 'exchange';
  routingKey: string;
  /** Arguments as Erlang prints them. */
  arguments: string;
}

export interface TestVhost {
  name: string;
  url: string;
  delete(): Promise<void>;
}

interface Permissions {
  configure: string;
  write: string;
  read: string;
}

const EVERYTHING: Permissions = { configure: '.*', write: '.*', read: '.*' };
const DEFAULT_VHOST = '/';
const ACTING_USER = '<<"test">>';

/** Erlang text that turns a value, known to be a binary, atom or pid, into a JSON string. */
const TEXT = `KaString = fun
  (V) when is_binary(V) -> V;
  (V) when is_atom(V) -> atom_to_binary(V);
  (V) when is_pid(V) -> list_to_binary(pid_to_list(V));
  (V) -> unicode:characters_to_binary(io_lib:format("~0tp", [V]))
end,
KaNumber = fun(V) when is_number(V) -> V; (_) -> 0 end,
KaGet = fun(K, L) -> proplists:get_value(K, L, '') end,`;

/** What tests that share a broker may do: nothing here outlasts the vhost or the user that it is about. */
export abstract class BrokerControl {
  /** The AMQP port on 127.0.0.1. */
  abstract readonly port: number;

  /** The exact version, for example `4.0.5`. */
  abstract readonly version: string;

  /** Evaluates Erlang in the node. A binary comes back as its text, anything else as Erlang prints it. */
  abstract control(expression: string, timeoutMs?: number): Promise<string>;

  /** The default vhost's address. */
  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  /** The address of a vhost, for guest or for another user. */
  urlFor(vhost: string, login: { user: string; password: string } = { user: 'guest', password: 'guest' }): string {
    const [user, password] = [login.user, login.password].map(encodeURIComponent);
    return `amqp://${user}:${password}@127.0.0.1:${this.port}/${encodeURIComponent(vhost)}`;
  }

  // Connections

  /** Open AMQP connections, of one vhost or of all. */
  async listConnections(vhost?: string): Promise<BrokerConnection[]> {
    const all = await this.query<BrokerConnection[]>(`
      [#{pid => KaString(KaGet(pid, C)), name => KaString(KaGet(name, C)),
         peerPort => KaNumber(KaGet(peer_port, C)), timeoutSeconds => KaNumber(KaGet(timeout, C)),
         state => KaString(KaGet(state, C)), user => KaString(KaGet(user, C)), vhost => KaString(KaGet(vhost, C)),
         channels => KaNumber(KaGet(channels, C)),
         userProvidedName => case KaGet(client_properties, C) of
             P when is_list(P) -> case lists:keyfind(<<"connection_name">>, 1, P) of {_, _, N} -> N; false -> <<>> end;
             _ -> <<>>
           end}
       || C <- rabbit_networking:connection_info_all(
                 [pid, name, peer_port, timeout, state, user, vhost, channels, client_properties]),
          is_list(C), C =/= []]`);
    return vhost === undefined ? all : all.filter((connection) => connection.vhost === vhost);
  }

  /** Closes every connection as an operator would: clients see `320 CONNECTION_FORCED - <reason>`. */
  async closeAllConnections(reason = 'closed by the test'): Promise<void> {
    await this.control(`
      [rabbit_networking:close_connection(P, binary_to_list(${erlangBinary(reason)})) || P <- rabbit_networking:connections()],
      ok`);
  }

  /** Closes one connection, given by its pid, its name, or the name that the client gave itself. */
  async closeConnection(which: string, reason = 'closed by the test'): Promise<void> {
    const pids = await this.pidsOf(which);
    for (const pid of pids) {
      await this.control(
        `rabbit_networking:close_connection(list_to_pid("${pid}"), binary_to_list(${erlangBinary(reason)}))`,
      );
    }
  }

  /** Drops every connection, or one, without a word: clients see a reset. */
  async killConnections(which?: string): Promise<void> {
    const pids = (await this.listConnections()).filter((c) => which === undefined || isNamed(c, which));
    await this.control(`[exit(list_to_pid(P), kill) || P <- [${pids.map(({ pid }) => `"${pid}"`).join(', ')}]], ok`);
  }

  // Queues, exchanges, bindings, consumers

  async listQueues(vhost = DEFAULT_VHOST): Promise<BrokerQueue[]> {
    return this.query(`
      [#{name => element(4, KaGet(name, Q)), messages => KaNumber(KaGet(messages, Q)),
         messagesReady => KaNumber(KaGet(messages_ready, Q)),
         messagesUnacknowledged => KaNumber(KaGet(messages_unacknowledged, Q)),
         consumers => KaNumber(KaGet(consumers, Q)), durable => KaGet(durable, Q), autoDelete => KaGet(auto_delete, Q),
         type => case KaString(KaGet(type, Q)) of
             <<"rabbit_", T/binary>> -> binary:replace(T, <<"_queue">>, <<>>);
             T -> T
           end}
       || Q <- rabbit_amqqueue:info_all(${erlangBinary(vhost)},
            [name, messages, messages_ready, messages_unacknowledged, consumers, durable, auto_delete, type])]`);
  }

  async listConsumers(vhost = DEFAULT_VHOST): Promise<BrokerConsumer[]> {
    return this.query(`
      [#{queue => element(4, KaGet(queue_name, C)), consumerTag => KaGet(consumer_tag, C),
         channelPid => KaString(KaGet(channel_pid, C)), ackRequired => KaGet(ack_required, C),
         prefetch => KaNumber(KaGet(prefetch_count, C)), exclusive => KaGet(exclusive, C) =:= true,
         isActive => KaGet(active, C) =/= false}
       || C <- rabbit_amqqueue:consumers_all(${erlangBinary(vhost)})]`);
  }

  /** Exchanges that were declared; the ones that every vhost has are left out. */
  async listExchanges(vhost = DEFAULT_VHOST): Promise<BrokerExchange[]> {
    const all = await this.query<BrokerExchange[]>(`
      [#{name => element(4, KaGet(name, E)), type => KaString(KaGet(type, E)), durable => KaGet(durable, E)}
       || E <- rabbit_exchange:info_all(${erlangBinary(vhost)}, [name, type, durable])]`);
    return all.filter(({ name }) => name !== '' && !name.startsWith('amq.'));
  }

  /** Bindings that were declared; the default exchange's own are left out. */
  async listBindings(vhost = DEFAULT_VHOST): Promise<BrokerBinding[]> {
    const all = await this.query<BrokerBinding[]>(`
      [#{exchange => KaGet(source_name, B), destination => KaGet(destination_name, B),
         destinationKind => KaString(KaGet(destination_kind, B)), routingKey => KaGet(routing_key, B),
         arguments => KaString(KaGet(arguments, B))}
       || B <- rabbit_binding:info_all(${erlangBinary(vhost)})]`);
    return all.filter(({ exchange }) => exchange !== '');
  }

  /** Deletes a queue under its consumers, which the broker then cancels. */
  async deleteQueue(queue: string, vhost = DEFAULT_VHOST): Promise<void> {
    await this.control(`
      {ok, Q} = rabbit_amqqueue:lookup(${resource(vhost, 'queue', queue)}),
      rabbit_amqqueue:delete(Q, false, false, ${ACTING_USER})`);
  }

  async deleteExchange(exchange: string, vhost = DEFAULT_VHOST): Promise<void> {
    await this.control(`rabbit_exchange:delete(${resource(vhost, 'exchange', exchange)}, false, ${ACTING_USER})`);
  }

  /** Removes the bindings of an exchange to a queue with this routing key, whatever their arguments. */
  async deleteBinding(exchange: string, queue: string, routingKey: string, vhost = DEFAULT_VHOST): Promise<void> {
    const removed = await this.control(`
      length([rabbit_binding:remove(B, ${ACTING_USER})
        || B <- rabbit_binding:list_for_source_and_destination(
             ${resource(vhost, 'exchange', exchange)}, ${resource(vhost, 'queue', queue)}),
           element(3, B) =:= ${erlangBinary(routingKey)}])`);
    if (removed === '0') throw new Error(`No binding of "${exchange}" to "${queue}" has the key "${routingKey}"`);
  }

  /** Sets a policy on the queues that match, for example `{ 'max-length': 1, overflow: 'reject-publish' }`. */
  async setPolicy(
    name: string,
    pattern: string,
    definition: Record<string, unknown>,
    vhost = DEFAULT_VHOST,
  ): Promise<void> {
    const json = erlangBinary(JSON.stringify(definition));
    await this.control(`
      ok = rabbit_policy:parse_set(${erlangBinary(vhost)}, ${erlangBinary(name)}, ${erlangBinary(pattern)}, ${json},
        <<"0">>, <<"queues">>, ${ACTING_USER})`);
  }

  async deletePolicy(name: string, vhost = DEFAULT_VHOST): Promise<void> {
    await this.control(`rabbit_policy:delete(${erlangBinary(vhost)}, ${erlangBinary(name)}, ${ACTING_USER})`);
  }

  // Vhosts, users, permissions

  /** Of queues that are declared without a type. Not before 4.0. */
  async setDefaultQueueType(vhost: string, type: 'classic' | 'quorum' | 'stream'): Promise<void> {
    await this.control(
      `rabbit_vhost:update_metadata(${erlangBinary(vhost)}, #{default_queue_type => <<"${type}">>}, ${ACTING_USER})`,
    );
  }

  /** How many queues the vhost may have, those that it has included; `undefined`: as many as anybody likes. */
  async limitQueues(vhost: string, limit: number | undefined): Promise<void> {
    await this.control(
      limit === undefined
        ? `rabbit_vhost_limit:clear(${erlangBinary(vhost)}, ${ACTING_USER})`
        : `rabbit_vhost_limit:set(${erlangBinary(vhost)}, [{<<"max-queues">>, ${limit}}], ${ACTING_USER})`,
    );
  }

  /** A fresh vhost with a unique name and full rights for guest: a clean broker for one test in some 20 ms. */
  async createVhost(label = 'test'): Promise<TestVhost> {
    const name = `${label}-${randomBytes(6).toString('hex')}`;
    await this.addVhost(name);
    return { name, url: this.urlFor(name), delete: () => this.deleteVhost(name) };
  }

  /** Adds a vhost in which guest may do everything. */
  async addVhost(name: string): Promise<void> {
    await this.control(`rabbit_vhost:add(${erlangBinary(name)}, ${ACTING_USER})`);
    await this.setPermissions('guest', name);
  }

  /** Deletes a vhost with all that is in it; its connections are closed. */
  async deleteVhost(name: string): Promise<void> {
    await this.control(`rabbit_vhost:delete(${erlangBinary(name)}, ${ACTING_USER})`);
  }

  async setPermissions(user: string, vhost = DEFAULT_VHOST, permissions: Permissions = EVERYTHING): Promise<void> {
    const { configure, write, read } = permissions;
    const patterns = [configure, write, read].map(erlangBinary).join(', ');
    await this.control(`
      rabbit_auth_backend_internal:set_permissions(
        ${erlangBinary(user)}, ${erlangBinary(vhost)}, ${patterns}, ${ACTING_USER})`);
  }

  async addUser(user: string, password: string): Promise<void> {
    await this.control(
      `rabbit_auth_backend_internal:add_user(${erlangBinary(user)}, ${erlangBinary(password)}, ${ACTING_USER})`,
    );
  }

  /** What a user may have over all connections together; a limit that is left out is none. */
  async setUserLimits(user: string, limits: { 'max-channels'?: number; 'max-connections'?: number }): Promise<void> {
    const terms = Object.entries({ 'max-channels': -1, 'max-connections': -1, ...limits })
      .map(([name, limit]) => `${erlangBinary(name)} => ${limit}`)
      .join(', ');
    await this.control(
      `rabbit_auth_backend_internal:set_user_limits(${erlangBinary(user)}, #{${terms}}, ${ACTING_USER})`,
    );
  }

  async changePassword(user: string, password: string): Promise<void> {
    await this.control(
      `rabbit_auth_backend_internal:change_password(${erlangBinary(user)}, ${erlangBinary(password)}, ${ACTING_USER})`,
    );
  }

  async deleteUser(user: string): Promise<void> {
    await this.control(`rabbit_auth_backend_internal:delete_user(${erlangBinary(user)}, ${ACTING_USER})`);
  }

  /** Evaluates an expression whose value the broker's own JSON library can write. */
  protected async query<T>(expression: string): Promise<T> {
    return JSON.parse(await this.control(`${TEXT} rabbit_json:encode(${expression})`)) as T;
  }

  private async pidsOf(which: string): Promise<string[]> {
    const found = (await this.listConnections()).filter((connection) => isNamed(connection, which));
    if (found.length === 0) throw new Error(`The broker has no connection "${which}"`);
    return found.map(({ pid }) => pid);
  }
}

function isNamed(connection: BrokerConnection, which: string): boolean {
  return [connection.pid, connection.name, connection.userProvidedName].includes(which);
}

function resource(vhost: string, kind: 'queue' | 'exchange', name: string): string {
  return `rabbit_misc:r(${erlangBinary(vhost)}, ${kind}, ${erlangBinary(name)})`;
}
