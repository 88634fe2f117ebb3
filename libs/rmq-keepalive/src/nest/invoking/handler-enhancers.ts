/**
 * What runs around a handler, as Nest finds it; asked once, when the handler is bound.
 *
 * The creators that know are `ExternalContextCreator`'s own and not in its types. Where a version of Nest keeps them
 * elsewhere there is no answer, and the handler is called Nest's way, which is right and slower.
 */
import type { ArgumentsHost } from '@nestjs/common';
import type { ContextId, ExternalContextCreator } from '@nestjs/core';

/** A handler as Nest looks its enhancers up. */
export interface EnhancedHandler {
  readonly instance: object;
  readonly method: (...args: unknown[]) => unknown;
  readonly moduleKey: string;
  readonly inquirerId: string | undefined;
}

export interface HandlerEnhancers {
  readonly guards: readonly unknown[];
  readonly pipes: readonly unknown[];
  readonly interceptors: readonly unknown[];
  /** Filters, with Nest's own at the end of them: rethrows, or returns what a filter made of the error. */
  readonly filters: { next(thrown: unknown, host: ArgumentsHost): unknown };
}

interface EnhancerCreator {
  create(
    instance: object,
    callback: (...args: unknown[]) => unknown,
    moduleKey: string,
    contextId: ContextId | undefined,
    inquirerId: string | undefined,
  ): unknown;
}

export function enhancersOf(
  contexts: ExternalContextCreator,
  handler: EnhancedHandler,
  contextId?: ContextId,
): HandlerEnhancers | undefined {
  const { instance, method, moduleKey, inquirerId } = handler;
  const found = (name: string): unknown => {
    const creator: unknown = Reflect.get(contexts, name);
    return isCreator(creator) ? creator.create(instance, method, moduleKey, contextId, inquirerId) : undefined;
  };
  const guards = found('guardsContextCreator');
  const pipes = found('pipesContextCreator');
  const interceptors = found('interceptorsContextCreator');
  const filters = found('filtersContextCreator');
  if (!Array.isArray(guards) || !Array.isArray(pipes) || !Array.isArray(interceptors) || !isFilter(filters))
    return undefined;
  return { guards, pipes, interceptors, filters };
}

function isCreator(value: unknown): value is EnhancerCreator {
  return typeof value === 'object' && value !== null && 'create' in value && typeof value.create === 'function';
}

function isFilter(value: unknown): value is HandlerEnhancers['filters'] {
  return typeof value === 'object' && value !== null && 'next' in value && typeof value.next === 'function';
}
