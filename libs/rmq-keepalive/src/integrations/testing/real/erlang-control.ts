/**
 * Evaluates Erlang inside a running node, in about a millisecond a call.
 *
 * The node itself listens for what it is to evaluate (`erlang-evaluator.ts`) and turns the result into text; names with
 * quotes, line breaks or any script come through whole. A command for each call (`erl_call`) would be a process for each:
 * a test that asks again and again until a fact holds starts fifty of them a second, and what a start costs grows with the
 * memory of the process that asks.
 */
import { connect } from 'node:net';

/** Survives JSON. */
export interface ErlangNodeAddress {
  /** Where the node takes expressions, on 127.0.0.1. */
  controlPort: number;
  /** The password among Erlang nodes, and for this. */
  cookie: string;
}

/** An expression that the node could not evaluate, or a node that did not answer. */
class BrokerControlError extends Error {
  override readonly name = 'BrokerControlError';
  readonly code = 'RMQ_BROKER_CONTROL';
}

const DEFAULT_TIMEOUT_MS = 20_000;

/** The value of the expression as text: a binary as it is, anything else as Erlang would print it. */
export async function evaluateErlang(
  node: ErlangNodeAddress,
  expression: string,
  timeoutMs: number = DEFAULT_TIMEOUT_MS,
): Promise<string> {
  const source = `${toAscii(expression.trim().replace(/\.$/, ''))}.`;
  const answer = await ask(node, source, timeoutMs).catch((error: Error) => {
    throw new BrokerControlError(`The broker did not evaluate "${shorten(expression)}": ${error.message}`, {
      cause: error,
    });
  });
  const [, kind, text] = /^(value|failure|unread):(.*)$/s.exec(answer) as unknown as [string, string, string];
  if (kind === 'value') return text;
  const hint = kind === 'unread' ? 'is it a complete Erlang expression? ' : '';
  throw new BrokerControlError(`The broker failed to evaluate "${shorten(expression)}": ${hint}${text}`);
}

/** Writes any text as an Erlang binary. */
export function erlangBinary(text: string): string {
  if (/^[\w .,:;@/*#^$()|+-]*$/.test(text)) return `<<"${text}">>`;
  return `base64:decode(<<"${Buffer.from(text, 'utf8').toString('base64')}">>)`;
}

function ask({ controlPort, cookie }: ErlangNodeAddress, source: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: controlPort, host: '127.0.0.1' });
    const timer = setTimeout(() => socket.destroy(new Error(`it did not answer within ${timeoutMs} ms`)), timeoutMs);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      const answer = unframed(Buffer.concat(chunks));
      if (answer === undefined) reject(new Error('it hung up'));
      else resolve(answer);
    });
    socket.write(framed(`${cookie}${source}`));
  });
}

function framed(text: string): Buffer {
  const body = Buffer.from(text, 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** The text of a frame, unless it is cut off. */
function unframed(frame: Buffer): string | undefined {
  if (frame.length < 4 || frame.length < 4 + frame.readUInt32BE()) return undefined;
  return frame.subarray(4).toString('utf8');
}

/** Some versions of Erlang read the source as Latin-1; an escape, valid wherever such letters are, is read the same by all. */
function toAscii(source: string): string {
  return source.replace(/[^\t\n\r -~]/gu, (letter) => `\\x{${letter.codePointAt(0)!.toString(16)}}`);
}

function shorten(expression: string): string {
  const line = expression.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 117)}…` : line;
}
