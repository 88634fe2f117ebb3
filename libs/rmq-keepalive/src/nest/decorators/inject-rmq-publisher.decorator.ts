import { Inject } from '@nestjs/common';
import { getRmqPublisherToken, type PublisherChoice } from '../connections/connection-tokens.js';

/**
 * Injects a `RmqPublisher`. For the default one the class as the parameter's type is enough.
 *
 * ```ts
 * constructor(
 *   @InjectRmqPublisher('audit') private readonly audit: RmqPublisher,
 *   @InjectRmqPublisher({ confirm: false }) private readonly telemetry: RmqPublisher,
 * ) {}
 * ```
 */
export const InjectRmqPublisher = (choice?: string | PublisherChoice): PropertyDecorator & ParameterDecorator =>
  Inject(getRmqPublisherToken(choice));
