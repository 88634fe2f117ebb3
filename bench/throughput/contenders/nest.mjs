/** Nest's own transport. */
import 'reflect-metadata';
import * as common from '@nestjs/common';
import * as core from '@nestjs/core';
import * as microservices from '@nestjs/microservices';
import { nestTransport } from '../nest-transport.mjs';

const { ClientProxyFactory, Transport } = microservices;

export const { openPublisher, openConsumer, openCaller, openResponder } = nestTransport(
  { common, core, microservices },
  {
    clientOf: (options) => ClientProxyFactory.create({ transport: Transport.RMQ, options }),
    serving: (options) => ({ transport: Transport.RMQ, options }),
  },
);
