import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { RpcParamtype } from '@nestjs/microservices/enums/rpc-paramtype.enum.js';
import { PARAM_ARGS_METADATA } from '@nestjs/microservices/constants.js';
import { deliveryParameter } from './delivery-parameter.js';
import { subscriptionsOf, type WrittenSubscription } from '../decorators/subscribe.decorator.js';

interface HandlerClass {
  readonly prototype: object;
}

interface HandlerParameters {
  /** The key of their metadata. */
  readonly key: string;
  /** Pipes see every parameter that is described; a delivery that is handed over unasked goes past them. */
  readonly isDeliveryPiped: boolean;
}

const UNDECORATED_PARAMS_METADATA = 'rmq-keepalive:undecorated-params';

/** Reads what the decorators wrote. */
@Injectable()
export class HandlerMetadataAccessor {
  subscriptionsOf(method: unknown): readonly WrittenSubscription[] {
    return subscriptionsOf(method);
  }

  /**
   * How Nest finds the parameters of a handler.
   *
   * A handler without parameter decorators would be called with the raw arguments, past every pipe: a global
   * ValidationPipe would not validate. So its parameters are described here as payload and delivery, under a key of our
   * own, because the usual one is shared with the HTTP routes that the same method may serve.
   */
  parametersOf(
    handlerClass: HandlerClass,
    method: (...args: never[]) => unknown,
    methodName: string,
  ): HandlerParameters {
    if (Reflect.hasMetadata(PARAM_ARGS_METADATA, handlerClass, methodName))
      return { key: PARAM_ARGS_METADATA, isDeliveryPiped: true };
    const payload = { [`${RpcParamtype.PAYLOAD}:0`]: { index: 0, pipes: [] } };
    const delivery = { [`${RpcParamtype.CONTEXT}:1`]: { index: 1, pipes: [] } };
    const takes = deliveryParameter(method, typesOf(handlerClass, methodName));
    const isHandedOver = takes === 'declared' || takes === 'unasked';
    const parameters = isHandedOver ? { ...payload, ...delivery } : payload;
    Reflect.defineMetadata(UNDECORATED_PARAMS_METADATA, parameters, handlerClass, methodName);
    return { key: UNDECORATED_PARAMS_METADATA, isDeliveryPiped: takes === 'declared' };
  }

  /** A default behind its payload may be meant for the delivery, or not. */
  isDeliveryInDoubt(handlerClass: HandlerClass, method: (...args: never[]) => unknown, methodName: string): boolean {
    return (
      !Reflect.hasMetadata(PARAM_ARGS_METADATA, handlerClass, methodName) &&
      deliveryParameter(method, typesOf(handlerClass, methodName)) === 'doubtful'
    );
  }
}

function typesOf({ prototype }: HandlerClass, methodName: string): readonly unknown[] | undefined {
  return Reflect.getMetadata('design:paramtypes', prototype, methodName) as readonly unknown[] | undefined;
}
