/** Some messages cannot be taken for what they say they are, whatever their codec makes of the body. */
import { PayloadNotDecodableError } from '../errors.js';
import { ReceivedProperties } from '../wire/received-properties.js';

/** @throws {@link PayloadNotDecodableError} when headers or properties could not be read: nobody may act on half of a message */
export function refuseUnreadable(properties: object): void {
  const fault = ReceivedProperties.faultOf(properties);
  if (fault !== undefined) throw new PayloadNotDecodableError(fault);
}
