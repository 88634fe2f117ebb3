import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { RpcParamtype } from '@nestjs/microservices/enums/rpc-paramtype.enum.js';
import { PARAM_ARGS_METADATA } from '@nestjs/microservices/constants.js';
import { subscriptionsOf, type WrittenSubscription } from '../decorators/subscribe.decorator.js';

const UNDECORATED_PARAMS_METADATA = 'rmq-keepalive:undecorated-params';

/** Reads what the decorators wrote. */
@Injectable()
export class HandlerMetadataAccessor {
  subscriptionsOf(method: unknown): readonly WrittenSubscription[] {
    return subscriptionsOf(method);
  }

  /**
   * The metadata key under which Nest finds the parameters of a handler.
   *
   * A handler without parameter decorators would be called with the raw arguments, past every pipe: a global
   * ValidationPipe would not validate. So its parameters are described here as payload and delivery, under a key of our
   * own, because the usual one is shared with the HTTP routes that the same method may serve.
   */
  parametersKeyOf(handlerClass: object, method: (...args: never[]) => unknown, methodName: string): string {
    if (Reflect.hasMetadata(PARAM_ARGS_METADATA, handlerClass, methodName)) return PARAM_ARGS_METADATA;
    const payload = { [`${RpcParamtype.PAYLOAD}:0`]: { index: 0, pipes: [] } };
    const delivery = { [`${RpcParamtype.CONTEXT}:1`]: { index: 1, pipes: [] } };
    // Pipes are applied to every described parameter, so one that the handler does not take is left out.
    const parameters = method.length < 2 ? payload : { ...payload, ...delivery };
    Reflect.defineMetadata(UNDECORATED_PARAMS_METADATA, parameters, handlerClass, methodName);
    return UNDECORATED_PARAMS_METADATA;
  }
}
