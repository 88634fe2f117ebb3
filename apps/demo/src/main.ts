import 'reflect-metadata';
import type { Server } from 'node:http';
import { resolve } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { AppModule } from './app.module.js';
import { chooseBroker } from './choose-broker.js';
import { DemoLogger } from './demo-logger.js';
import { readSettings, SettingError } from './demo-settings.js';
import { OutgoingSockets } from './faults/outgoing-sockets.js';

const say = (sentence: string): void => console.log(sentence);

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const sockets = new OutgoingSockets();
  if (settings.hasFaults) sockets.watch();
  const broker = await chooseBroker({ urls: settings.urls, dataDir: resolve('.rabbitmq'), say });
  say(broker.sentence);

  const app = await NestFactory.create(AppModule.of(settings, broker, sockets), {
    abortOnError: false,
    logger: new DemoLogger(),
  });
  const stop = async (): Promise<void> => {
    say('Stopping: handlers finish, confirms arrive, the rest goes back to the broker.');
    // Idle connections of clients would hold the HTTP server for five more seconds.
    (app.getHttpServer() as Server).keepAliveTimeout = 1;
    await app.close();
    await broker.stop();
    process.exit(0);
  };
  onSignals(() => void stop().catch(fail));
  try {
    await app.listen(settings.port);
  } catch (error) {
    await app.close();
    await broker.stop();
    throw error;
  }
  say(`The shop is open: ${(await app.getUrl()).replace('[::1]', 'localhost')}`);
}

/** After this time a second signal is a second wish: not to wait. */
const SAME_WISH_MS = 1_000;

/** Ctrl-C reaches this process twice within milliseconds, from the terminal and from npm: both mean the same. */
function onSignals(stop: () => void): void {
  let firstAt: number | undefined;
  const onSignal = (): void => {
    if (firstAt === undefined) {
      firstAt = performance.now();
      stop();
    } else if (performance.now() - firstAt > SAME_WISH_MS) process.exit(130);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal);
}

/** One sentence for what a person can put right; the whole error for what nobody foresaw. */
function fail(error: unknown): never {
  const isForeseen =
    error instanceof SettingError ||
    error instanceof BrokerUnavailableError ||
    (error instanceof Error &&
      'code' in error &&
      (error.code === 'EADDRINUSE' || error.code === 'RMQ_OPTIONS_INVALID'));
  console.error(isForeseen ? explain(error) : error);
  process.exit(1);
}

function explain(error: Error): string {
  if ('code' in error && error.code === 'EADDRINUSE') {
    return `${error.message}: something else uses that port; set PORT to another one.`;
  }
  return error.message;
}

main().catch(fail);
