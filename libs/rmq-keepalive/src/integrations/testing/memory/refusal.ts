/** What the broker refuses: with the codes and the words of RabbitMQ 4, at the cost of the channel or of the connection. */

const NAMES = {
  311: 'CONTENT_TOO_LARGE',
  320: 'CONNECTION_FORCED',
  402: 'INVALID_PATH',
  403: 'ACCESS_REFUSED',
  404: 'NOT_FOUND',
  405: 'RESOURCE_LOCKED',
  406: 'PRECONDITION_FAILED',
  501: 'FRAME_ERROR',
  503: 'COMMAND_INVALID',
  504: 'CHANNEL_ERROR',
  530: 'NOT_ALLOWED',
  540: 'NOT_IMPLEMENTED',
} as const;

type ReplyCode = keyof typeof NAMES;

export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly replyText: string;

  private constructor(
    readonly replyCode: ReplyCode,
    text: string,
    readonly costs: 'channel' | 'connection',
  ) {
    super(text);
    this.replyText = `${NAMES[replyCode]} - ${text}`;
  }

  static ofChannel(code: 311 | 403 | 404 | 405 | 406, text: string): Refusal {
    return new Refusal(code, text, 'channel');
  }

  static ofConnection(code: ReplyCode, text: string): Refusal {
    return new Refusal(code, text, 'connection');
  }
}

export function noQueue(name: string, vhost: string): Refusal {
  return Refusal.ofChannel(404, `no queue '${name}' in vhost '${vhost}'`);
}

export function noExchange(name: string, vhost: string): Refusal {
  return Refusal.ofChannel(404, `no exchange '${name}' in vhost '${vhost}'`);
}
