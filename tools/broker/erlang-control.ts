/**
 * Evaluates Erlang inside a running node, in three to five milliseconds a call.
 *
 * `erl_call` prints a result in its own notation, which differs from one Erlang to the next and loses what it cannot
 * print. So the node itself turns the result into text and sends it as base64, marked as value or as failure; names with
 * quotes, line breaks or any script come through whole.
 */
import { randomBytes } from 'node:crypto';
import { CommandError, runCommand } from './run-command.js';

export interface ErlangNodeAddress {
  erlCall: string;
  nodeName: string;
  epmdPort: number;
  /** The folder with the node's `.erlang.cookie`. */
  home: string;
}

/** An expression that the node could not evaluate, or a node that did not answer. */
export class BrokerControlError extends Error {
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
  const output = await callNode(node, wrap(expression), timeoutMs).catch((error: CommandError) => {
    throw new BrokerControlError(`The broker did not evaluate "${shorten(expression)}": ${error.message}`, {
      cause: error,
    });
  });
  const answer = /(value|failure):([A-Za-z0-9+/=]*);/.exec(output);
  if (!answer) {
    const syntaxHint = 'is it a complete Erlang expression?';
    throw new BrokerControlError(
      `The broker gave no answer to "${shorten(expression)}" (${syntaxHint}) ${output.trim()}`,
    );
  }
  const text = Buffer.from(answer[2]!, 'base64').toString('utf8');
  if (answer[1] === 'failure') {
    throw new BrokerControlError(`The broker failed to evaluate "${shorten(expression)}": ${text}`);
  }
  return text;
}

/** Writes any text as an Erlang binary. */
export function erlangBinary(text: string): string {
  if (/^[\w .,:;@/*#^$()|+-]*$/.test(text)) return `<<"${text}">>`;
  return `base64:decode(<<"${Buffer.from(text, 'utf8').toString('base64')}">>)`;
}

function callNode(node: ErlangNodeAddress, code: string, timeoutMs: number): Promise<string> {
  // Two calls under one name push each other out, and the names that erl_call draws by itself repeat within a second.
  const callerName = `control-${randomBytes(8).toString('hex')}`;
  const timeoutSeconds = `${Math.max(1, Math.ceil(timeoutMs / 1_000))}`;
  const target = ['-h', callerName, '-name', node.nodeName, '-timeout', timeoutSeconds];
  const args = [...target, '-e', '-fetch_stdout', '-no_result_term'];
  return runCommand(node.erlCall, args, {
    env: { HOME: node.home, ERL_EPMD_PORT: `${node.epmdPort}`, PATH: process.env['PATH'] },
    input: code,
    timeoutMs: timeoutMs + 1_000,
  });
}

function wrap(expression: string): string {
  const body = toAscii(expression.trim().replace(/\.$/, ''));
  return `
    KaPrint = fun(KaMark, KaBytes) -> io:put_chars([KaMark, $:, base64:encode(KaBytes), $;]) end,
    KaText = fun(KaFormat, KaTerms) -> unicode:characters_to_binary(io_lib:format(KaFormat, KaTerms)) end,
    try begin ${body} end of
      KaValue when is_binary(KaValue) -> KaPrint("value", KaValue);
      KaValue -> KaPrint("value", KaText("~0tp", [KaValue]))
    catch KaClass:KaReason ->
      KaPrint("failure", KaText("~0tp: ~0tp", [KaClass, KaReason]))
    end.
  `;
}

/** Some versions of Erlang read the source as Latin-1; an escape, valid wherever such letters are, is read the same by all. */
function toAscii(source: string): string {
  return source.replace(/[^\t\n\r -~]/gu, (letter) => `\\x{${letter.codePointAt(0)!.toString(16)}}`);
}

function shorten(expression: string): string {
  const line = expression.replace(/\s+/g, ' ').trim();
  return line.length > 120 ? `${line.slice(0, 117)}…` : line;
}
