import { ConfigurableModuleBuilder, type DynamicModule, type Provider } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { CONNECTION_OPTION_NAMES, type RmqConnectionOptions } from '../engine/connection/connection-options.js';
import { RmqConnection } from '../engine/connection/rmq-connection.js';
import { OptionsError } from '../engine/errors/options-error.js';
import { checkBoolean, checkOptionsObject, shown } from '../engine/base/option-checks.js';
import {
  DEFAULT_CONNECTION_NAME,
  getRmqConnectionToken,
  getRmqDeadLettersToken,
  getRmqPublisherToken,
  getRmqRpcClientToken,
  otherCopiesOf,
} from './connections/connection-tokens.js';
import { type AroundSource, InjectedArounds } from './connections/injected-arounds.js';
import { RmqConnections } from './connections/rmq.connections.js';

/** The options of a connection, as a Nest application gives them. */
type RmqModuleOptions = Omit<RmqConnectionOptions, 'around'> & {
  /**
   * As {@link RmqConnectionOptions.around}. Where it is a class, its instance is taken from the application: it has to be a
   * provider of any module, and may inject whatever it needs, the publisher too. Several are composed in their order, the
   * first one outermost.
   */
  around?: AroundSource | readonly AroundSource[];
};

/** Options of `forRoot` and `forRootAsync` beside those of the connection. */
interface RmqModuleExtras {
  /** Tells connections apart: `@Subscribe({ connection })`, `@InjectRmqConnection(name)`; shown in logs and health. @default 'default' */
  name?: string;
  /** Connection and publisher can be injected in every module without importing this one. @default true */
  isGlobal?: boolean;
  /**
   * Whether a second SIGTERM or SIGINT ends the drain at once (`RmqConnection.abort()`), if it comes a second or more after a signal
   * began the shutdown. `false`: the drain takes the time that `drainTimeoutMs` gives it. An earlier signal counts as the same wish,
   * because npm passes one Ctrl-C on twice. Needs `app.enableShutdownHooks()`, or `app.close(signal)` by a handler of your own. The
   * module listens to signals only while the connections drain. @default true
   */
  abortOnSecondSignal?: boolean;
}

const EXTRA_NAMES = ['name', 'isGlobal', 'abortOnSecondSignal'] as const satisfies readonly (keyof RmqModuleExtras)[];
/** What Nest's `ConfigurableModuleAsyncOptions` has. */
const ASYNC_NAMES = ['imports', 'inject', 'useFactory', 'useClass', 'useExisting', 'provideInjectionTokensFrom'];

/** Before Nest takes its own options away, so that whoever mistypes one of them is told of all. @throws {@link OptionsError} */
export function checkForRoot(options: object, method: 'forRoot' | 'forRootAsync'): void {
  const where = `RmqKeepaliveModule.${method}`;
  checkOptionsObject(
    options,
    [...(method === 'forRoot' ? CONNECTION_OPTION_NAMES : ASYNC_NAMES), ...EXTRA_NAMES],
    where,
  );
  const { name, isGlobal, abortOnSecondSignal } = options as RmqModuleExtras;
  if (name !== undefined && (typeof name !== 'string' || name === ''))
    throw new OptionsError(`${where}, name`, `${shown(name)} is no name`, 'Give a string, or leave the option out');
  if (isGlobal !== undefined) checkBoolean(isGlobal, `${where}, isGlobal`);
  if (abortOnSecondSignal !== undefined) checkBoolean(abortOnSecondSignal, `${where}, abortOnSecondSignal`);
}

const builder = new ConfigurableModuleBuilder<RmqModuleOptions>({ moduleName: 'RmqKeepalive' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createRmqOptions')
  .setExtras<RmqModuleExtras>(
    { name: DEFAULT_CONNECTION_NAME, isGlobal: true, abortOnSecondSignal: true },
    withConnection,
  );

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } = builder.build();

export { ASYNC_OPTIONS_TYPE, ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE };

function withConnection(definition: DynamicModule, extras: RmqModuleExtras): DynamicModule {
  const { name = DEFAULT_CONNECTION_NAME, isGlobal = true, abortOnSecondSignal = true } = extras;
  const exported = [
    getRmqConnectionToken(name),
    getRmqPublisherToken(name),
    getRmqPublisherToken({ connection: name, confirm: false }),
    getRmqRpcClientToken(name),
    getRmqDeadLettersToken(name),
  ];
  const aliases = exported.flatMap((token) => otherCopiesOf(token).map((provide) => ({ provide, useExisting: token })));
  return {
    ...definition,
    global: isGlobal,
    providers: [...(definition.providers ?? []), ...connectionProviders(name, { abortOnSecondSignal }), ...aliases],
    exports: [...(definition.exports ?? []), ...exported, ...aliases.map(({ provide }) => provide)],
  };
}

/** Where the option `around` of a connection is, with the instances of its classes. */
export function aroundsTokenOf(name: string): string {
  return `RmqArounds:${name}`;
}

function connectionProviders(name: string, shutdown: { abortOnSecondSignal: boolean }): Provider[] {
  const connectionToken = getRmqConnectionToken(name);
  const aroundsToken = aroundsTokenOf(name);
  return [
    {
      provide: aroundsToken,
      inject: [MODULE_OPTIONS_TOKEN, ModuleRef],
      useFactory: (options: RmqModuleOptions, moduleRef: ModuleRef) => new InjectedArounds(options.around, moduleRef),
    },
    {
      provide: connectionToken,
      inject: [MODULE_OPTIONS_TOKEN, aroundsToken],
      useFactory: (options: RmqModuleOptions, { option: around }: InjectedArounds) =>
        new RmqConnection({ ...options, around }, { name }),
    },
    {
      provide: getRmqPublisherToken(name),
      inject: [connectionToken],
      useFactory: (connection: RmqConnection) => connection.publisher,
    },
    {
      // Costs a channel only once somebody publishes with it. A test may put a connection here that has none.
      provide: getRmqPublisherToken({ connection: name, confirm: false }),
      inject: [connectionToken],
      useFactory: (connection: Partial<RmqConnection>) => connection.createPublisher?.({ confirm: false }),
    },
    {
      provide: getRmqRpcClientToken(name),
      inject: [connectionToken],
      useFactory: (connection: RmqConnection) => connection.rpc,
    },
    {
      provide: getRmqDeadLettersToken(name),
      inject: [connectionToken],
      useFactory: (connection: RmqConnection) => connection.deadLetters,
    },
    {
      // Separate from the connection itself, so that a test may override that and is registered in its place.
      provide: `RmqConnectionRegistration:${name}`,
      inject: [RmqConnections, connectionToken, getRmqPublisherToken(name)],
      useFactory: (connections: RmqConnections, connection: RmqConnection, publisher: unknown) => {
        connections.add(name, { connection, publisher }, shutdown);
        return { name };
      },
    },
  ];
}
