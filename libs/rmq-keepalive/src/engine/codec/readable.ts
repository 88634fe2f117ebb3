/** Some messages cannot be taken for what they say they are, whatever their codec makes of the body. */
import { MessageTooLargeError, PayloadNotDecodableError } from '../errors/delivery-errors.js';
import { ReceivedProperties } from '../wire/received-properties.js';

/**
 * Nobody may act on half of a message, nor copy it.
 * @throws {@link PayloadNotDecodableError} headers or properties could not be read
 * @throws {@link MessageTooLargeError} the body was not kept
 */
export function refuseUnreadable(properties: object): void {
  refuseWithoutBody(properties);
  const fault = ReceivedProperties.faultOf(properties);
  if (fault !== undefined) throw new PayloadNotDecodableError(fault);
}

/** @throws {@link MessageTooLargeError} */
export function refuseWithoutBody(properties: object): void {
  const lost = ReceivedProperties.lostBodyOf(properties);
  if (lost !== undefined) throw new MessageTooLargeError(lost.bytes, lost.maxBytes);
}

/** Whether {@link refuseUnreadable} says nothing. */
export function isReadable(properties: object): boolean {
  return ReceivedProperties.faultOf(properties) === undefined && hasBody(properties);
}

export function hasBody(properties: object): boolean {
  return ReceivedProperties.lostBodyOf(properties) === undefined;
}
