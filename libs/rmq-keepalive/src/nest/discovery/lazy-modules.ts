/**
 * Hears of modules that are loaded after the boot. Nest tells nobody, and runs none of their hooks; so its loader, of which an
 * application has one, is asked to tell.
 */
import { Injectable } from '@nestjs/common';
import { LazyModuleLoader } from '@nestjs/core';
import { type DiscoveredHandler, handlerName } from './rmq.explorer.js';

@Injectable()
export class LazyModules {
  constructor(private readonly loader: LazyModuleLoader) {}

  /** Calls `loaded` after each of them, for the rest of the application's life. */
  onLoaded(loaded: () => void): void {
    const { loader } = this;
    const load: LazyModuleLoader['load'] = loader.load.bind(loader);
    const telling: LazyModuleLoader['load'] = async (...args) => {
      const module = await load(...args);
      loaded();
      return module;
    };
    Object.defineProperty(loader, 'load', { value: telling, configurable: true, writable: true });
  }
}

/** Of a handler whose module was loaded after the boot. */
export function tooLateSentence(handler: DiscoveredHandler): string {
  const decorators = handler.subscriptions.map(({ decorator }) => decorator).join(', ');
  return (
    `${handlerName(handler)} bears ${decorators} in a module that was loaded lazily, so nothing is consumed. Import the module at ` +
    'the boot, or subscribe with connection.subscribe() when it is loaded'
  );
}
