import { Inject } from '@nestjs/common';
import { getRmqDeadLettersToken } from '../connections/connection-tokens.js';

/** Injects the `RmqDeadLetters` of the connection of that name. For the default one the class as the parameter's type is enough. */
export const InjectRmqDeadLetters = (name?: string): PropertyDecorator & ParameterDecorator =>
  Inject(getRmqDeadLettersToken(name));
