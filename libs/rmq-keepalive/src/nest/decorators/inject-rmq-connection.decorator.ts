import { Inject } from '@nestjs/common';
import { getRmqConnectionToken } from '../connections/connection-tokens.js';

/**
 * Injects the `RmqConnection` of that name. For the default one the class as the parameter's type is enough.
 *
 * ```ts
 * constructor(@InjectRmqConnection('audit') private readonly audit: RmqConnection) {}
 * ```
 */
export const InjectRmqConnection = (name?: string): PropertyDecorator & ParameterDecorator =>
  Inject(getRmqConnectionToken(name));
