import { Controller, Get, Header, Headers, Inject } from '@nestjs/common';

/** One sentence about the broker in use, without its address. */
export const BROKER_SENTENCE = Symbol('BROKER_SENTENCE');

/** What a person who opens the demo in a browser finds. */
@Controller()
export class WelcomeController {
  constructor(@Inject(BROKER_SENTENCE) private readonly brokerSentence: string) {}

  @Get()
  @Header('content-type', 'text/html; charset=utf-8')
  page(@Headers('host') host = 'localhost:3000'): string {
    return welcomePage(this.brokerSentence, host);
  }
}

const welcomePage = (brokerSentence: string, host: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A small shop on RabbitMQ</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #222; background: #fff; }
  code, pre { font: 0.95em ui-monospace, monospace; background: #f2f2f2; border-radius: 4px; }
  code { padding: 0.1em 0.3em; }
  pre { padding: 0.8rem 1rem; white-space: pre-wrap; }
  td { padding: 0.2rem 1rem 0.2rem 0; vertical-align: top; }
  td:first-child { white-space: nowrap; }
</style>
</head>
<body>
<h1>A small shop on RabbitMQ</h1>
<p>It shows <code>nestjs-rmq-keepalive</code> at work: orders are published with confirms, handlers move them on, and the
service stays connected whatever happens to its broker. ${escaped(brokerSentence)}</p>
<pre>curl -H 'content-type: application/json' -d '{"item":"tea","quantity":2}' ${escaped(host)}/orders</pre>
<table>
<tr><td><code>POST /orders</code></td><td>takes <code>{"item", "quantity"}</code>, answers 202 <code>{"id"}</code> once the broker has it</td></tr>
<tr><td><code>GET /orders/:id</code></td><td>state and history of one order: accepted, then shipped</td></tr>
<tr><td><a href="/orders/stats">/orders/stats</a></td><td>how many were accepted and shipped, and how many deliveries came twice</td></tr>
<tr><td><a href="/health">/health</a></td><td>up, degraded or down, why, and since when</td></tr>
<tr><td><a href="/health/ready">/health/ready</a></td><td>may this service get traffic?</td></tr>
<tr><td><a href="/health/live">/health/live</a></td><td>does the process serve?</td></tr>
</table>
</body>
</html>
`;

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
