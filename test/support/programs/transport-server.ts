/** A microservice in a process of its own: says when it has started, answers `echo` and `slow`, and tells what it hears. */
import 'reflect-metadata';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern } from '@nestjs/microservices';
import { type Side, serving } from '../transport/transport-sides.js';

interface Order {
  readonly side: Side;
  readonly options: object;
  /** Never done with `slow`. */
  readonly isStuck?: boolean;
}

const { side, options, isStuck = false } = JSON.parse(process.argv[2] ?? '{}') as Order;

@Controller()
class Service {
  @MessagePattern('echo')
  echo(text: string): string {
    return text;
  }

  @MessagePattern('slow')
  async slow(ms: number): Promise<number> {
    tell(`slow ${ms}`);
    await new Promise((resolve) => !isStuck && setTimeout(resolve, ms));
    tell(`done ${ms}`);
    return ms;
  }

  @EventPattern('event')
  onEvent(id: string): void {
    tell(`event ${id}`);
  }
}

@Module({ controllers: [Service] })
class ServiceModule {}

function tell(fact: string): void {
  process.stdout.write(`${fact}\n`);
}

const app = await NestFactory.createMicroservice(ServiceModule, { ...serving(side, options), logger: false });
process.once('SIGTERM', () => void app.close().then(() => process.exit(0)));
try {
  await app.listen();
  tell('started');
} catch (failure) {
  tell(`refused ${(failure as { code?: string }).code ?? String(failure)}`);
  process.exit(1);
}
