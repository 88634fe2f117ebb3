/** A running `nest-service.ts`, and what it has told so far. */
import type { NestServiceOptions, ServiceFact } from '../programs/nest-service.js';
import { TypescriptChild, type Ending } from './typescript-child.js';
import { until } from '../until.js';

type FactOf<N extends ServiceFact['fact']> = Extract<ServiceFact, { fact: N }>;

const PROGRAM = new URL('../programs/nest-service.ts', import.meta.url);

export class NestServiceProcess {
  private constructor(private readonly child: TypescriptChild) {}

  static launch(options: NestServiceOptions): NestServiceProcess {
    return new NestServiceProcess(TypescriptChild.start(PROGRAM, { args: [JSON.stringify(options)] }));
  }

  async untilReady(): Promise<void> {
    await until(
      'the service is ready',
      () => {
        if (this.child.stderr !== '') throw new Error(this.child.stderr);
        return this.facts('ready').length > 0;
      },
      { timeoutMs: 20_000 },
    );
  }

  facts<N extends ServiceFact['fact']>(name: N): FactOf<N>[] {
    return this.child.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as ServiceFact)
      .filter((fact): fact is FactOf<N> => fact.fact === name);
  }

  /** The ids of what was begun, or finished. */
  ids(name: 'begun' | 'finished'): string[] {
    return this.facts(name).map(({ id }) => id);
  }

  /** What the connection wrote to the log that fits. */
  logged(pattern: RegExp): string[] {
    return this.facts('log')
      .filter(({ context, message }) => context === 'RmqKeepalive' && pattern.test(message))
      .map(({ message }) => message);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.signal(signal);
  }

  untilEnded(): Promise<Ending> {
    return this.child.untilEnded();
  }

  dispose(): Promise<void> {
    return this.child.dispose();
  }
}
