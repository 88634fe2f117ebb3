/** A logger that hands its lines to a spec instead of printing them. */
import type { LoggerService } from '@nestjs/common';

export interface LogLine {
  readonly level: 'log' | 'warn' | 'error' | 'debug';
  readonly message: string;
  readonly context: string | undefined;
  /** What an error's line has beside it. */
  readonly stack?: string;
}

export function keepingLogger(keep: (line: LogLine) => void): LoggerService {
  const of =
    (level: LogLine['level']) =>
    (message: unknown, ...rest: unknown[]): void => {
      const context = rest.at(-1);
      keep({
        level,
        message: message instanceof Error ? message.message : String(message),
        context: typeof context === 'string' ? context : undefined,
        ...(rest.length > 1 && typeof rest[0] === 'string' ? { stack: rest[0] } : {}),
      });
    };
  return { log: of('log'), warn: of('warn'), error: of('error'), debug: of('debug') };
}
