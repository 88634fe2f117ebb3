import { Inject } from '@nestjs/common';
import { getRmqRpcClientToken } from '../connections/connection-tokens.js';

/**
 * Injects the `RmqRpcClient` of the connection of that name. For the default one the class as the parameter's type is enough.
 *
 * ```ts
 * constructor(@InjectRmqRpcClient('billing') private readonly billing: RmqRpcClient) {}
 * ```
 */
export const InjectRmqRpcClient = (name?: string): PropertyDecorator & ParameterDecorator =>
  Inject(getRmqRpcClientToken(name));
