/** Command `npm run chaos`: services under a seeded storm of accidents, and a verdict. What it takes is in `chaos-options.ts`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BrokerUnavailableError } from '#testing/base/broker-unavailable-error.js';
import { ProcessGuard } from '#testing/real/process-guard.js';
import { type ChaosOptions, parseChaosOptions, USAGE } from './chaos-options.js';
import { describeOutcome, isRunFailed, writeReport } from './chaos-report.js';
import { runChaos } from './run.js';
import { planAccidents } from './schedule.js';
import { World } from './world.js';

const say = (sentence: string): void => console.log(sentence);

async function chaos(options: ChaosOptions): Promise<number> {
  const { accidents, seed, seconds, rate, version, sabotage, withVillains, report } = options;
  const plan = planAccidents(accidents, seed, seconds);
  if (options.isPlanOnly) {
    for (const { accident, atMs, lastsMs } of plan)
      say(`${(atMs / 1_000).toFixed(1)} s  ${accident.name}, ${lastsMs} ms`);
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), 'rmq-chaos-'));
  const guard = ProcessGuard.post(folder);
  const world = await World.create({ folder, guard, rate, version, sabotage, withVillains });
  const about = `Chaos: seed ${seed}, ${seconds} s, ${rate} messages a second, RabbitMQ ${world.broker.version}, Node ${process.versions.node}${sabotage === undefined ? '' : `, sabotage ${sabotage}`}`;
  // Interrupted, the guard ends the services and removes the folder.
  const interrupt = (): void => void world.broker.stop().finally(() => process.exit(130));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  say(`${about}; ${plan.length} accidents`);
  let isKept = true;
  try {
    const outcome = await runChaos(world, plan, { seconds, withVillains }, say);
    say(`\n${describeOutcome(outcome, about)}`);
    if (report !== undefined) writeReport(report, outcome, options, about);
    const failed = isRunFailed(outcome);
    // Of a planted defect nobody asks how it came about.
    isKept = options.isKept || (failed && sabotage === undefined);
    return failed ? 1 : 0;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    await world.dispose();
    await guard.dismiss();
    if (isKept) say(`Ledgers and logs are in ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  }
}

function read(): ChaosOptions {
  try {
    return parseChaosOptions(process.argv.slice(2));
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

const options = read();
if (options.help) say(USAGE);
else {
  try {
    process.exitCode = await chaos(options);
  } catch (error) {
    console.error(error instanceof BrokerUnavailableError ? error.message : error);
    process.exitCode = 2;
  }
}
