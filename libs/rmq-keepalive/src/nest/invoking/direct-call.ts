/**
 * The short way to a handler that nothing runs around: its parameters, the call, and the filters if it fails.
 *
 * Nest's way awaits guards, pipes and interceptors also where there are none, at the cost of a dozen promises for each
 * message, more than all the rest of a delivery.
 */
import type { ExternalContextCreator } from '@nestjs/core';
import type { ParamsFactory } from '@nestjs/core/helpers/external-context-creator.js';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { isObservable, lastValueFrom } from 'rxjs';
import { isThenable } from '../../engine/base/thenable.js';
import type { EnhancedHandler, HandlerEnhancers } from './handler-enhancers.js';

type Parameter = {
  readonly index: number;
  readonly pipes: readonly unknown[];
  readonly extractValue: (...args: unknown[]) => unknown;
};

/** How Nest describes the parameters of this handler. */
interface DescribedParameters {
  readonly contexts: ExternalContextCreator;
  readonly methodName: string;
  readonly metadataKey: string;
  readonly factory: ParamsFactory;
}

/** `undefined`: something runs around it, so it has to be called Nest's way. */
export function directCall(
  handler: EnhancedHandler,
  enhancers: HandlerEnhancers,
  described: DescribedParameters,
  outcome: Outcome,
): ((payload: unknown, context: unknown) => unknown) | undefined {
  const { guards, pipes, interceptors, filters } = enhancers;
  if (guards.length + pipes.length + interceptors.length > 0) return undefined;
  const { contexts, methodName, metadataKey, factory } = described;
  const metadata = contexts.getMetadata(handler.instance, methodName, metadataKey, factory, 'rpc');
  const parameters = metadata.getParamsMetadata(handler.moduleKey, undefined, handler.inquirerId) as Parameter[];
  if (parameters.some((parameter) => parameter.pipes.length > 0)) return undefined;
  const { instance, method } = handler;

  const filter = (thrown: unknown, args: unknown[]): unknown => filters.next(thrown, hostOf(args));
  const filtered = (thrown: unknown, args: unknown[]): unknown =>
    outcome(filter(thrown, args), (later) => {
      throw later;
    });
  return (payload, context) => {
    const args = [payload, context];
    let result: unknown;
    try {
      const values = valuesOf(parameters, args, metadata.argsLength);
      result =
        values instanceof Promise
          ? values.then((them) => method.apply(instance, them))
          : method.apply(instance, values);
    } catch (thrown) {
      return filtered(thrown, args);
    }
    const made = (value: unknown): unknown => outcome(value, (thrown) => filter(thrown, args));
    return isThenable(result) ? result.then(made, (thrown: unknown) => filtered(thrown, args)) : made(result);
  };
}

/** What a handler's result means; `filter` is for what it throws later, if it is a stream. */
type Outcome = (result: unknown, filter: (thrown: unknown) => unknown) => unknown;

/** Nest's view of a call, for filters. */
export function hostOf(args: unknown[]): ExecutionContextHost {
  const host = new ExecutionContextHost(args);
  host.setType('rpc');
  return host;
}

/** An Observable counts as its last value, and one that completes without a value as `undefined`. */
export function resolved(result: unknown): unknown {
  return isObservable(result) ? lastValueFrom(result, { defaultValue: undefined }) : result;
}

/** A promise only if a parameter is one: a decorator's factory may be asynchronous. */
function valuesOf(parameters: readonly Parameter[], args: unknown[], count: number): unknown[] | Promise<unknown[]> {
  const values = Array.from<unknown>({ length: count }).fill(undefined);
  let isPending = false;
  for (const { index, extractValue } of parameters) {
    const value = extractValue(...args);
    values[index] = value;
    isPending ||= isThenable(value);
  }
  return isPending ? Promise.all(values) : values;
}
