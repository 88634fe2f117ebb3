/**
 * Decorators of the application on the health routes: the mark by which its global guard lets a probe pass, for example.
 *
 * Danger: some guards look for their mark on the class, some on the method, some on both; and a guard or an interceptor that stands on
 * both runs twice.
 * Choice: each decorates the class, and what it has written there is copied to the methods, but for what Nest itself would run.
 */
import 'reflect-metadata';
import type { Type } from '@nestjs/common';
import {
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
} from '@nestjs/common/constants.js';

const RUN_BY_NEST: ReadonlySet<unknown> = new Set([
  EXCEPTION_FILTERS_METADATA,
  GUARDS_METADATA,
  INTERCEPTORS_METADATA,
  PIPES_METADATA,
]);

export function decorateRoutes(
  controller: Type,
  routes: readonly string[],
  decorators: readonly ClassDecorator[],
): void {
  const before = new Set<unknown>(Reflect.getOwnMetadataKeys(controller));
  for (const decorate of decorators) decorate(controller);
  const marks: unknown[] = Reflect.getOwnMetadataKeys(controller).filter((key: unknown) => !before.has(key));
  for (const route of routes) {
    const handler = controller.prototype[route] as object;
    for (const key of marks)
      if (!RUN_BY_NEST.has(key)) Reflect.defineMetadata(key, Reflect.getOwnMetadata(key, controller), handler);
  }
}
