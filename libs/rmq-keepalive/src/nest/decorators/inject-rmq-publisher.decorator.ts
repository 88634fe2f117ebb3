import { Inject } from '@nestjs/common';
import { getRmqPublisherToken } from '../connection-tokens.js';

/** Injects the `RmqPublisher` of the connection of that name. For the default one the class as the parameter's type is enough. */
export const InjectRmqPublisher = (name?: string): PropertyDecorator & ParameterDecorator =>
  Inject(getRmqPublisherToken(name));
