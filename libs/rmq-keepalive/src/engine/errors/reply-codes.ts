/** The reply codes of the broker that we decide by. AMQP 0-9-1, section 1.2. */
export const ACCESS_REFUSED = 403;
export const NOT_FOUND = 404;
export const PRECONDITION_FAILED = 406;
export const NOT_ALLOWED = 530;
