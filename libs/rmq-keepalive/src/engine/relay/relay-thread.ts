/**
 * Runs in the main thread.
 *
 * One worker thread, from its start to its end, as the main thread sees it.
 *
 * It counts the turns of our event loop for the worker, watches that the worker's own goes on, and knows why links ended
 * that we did not end. Real time, not a `Clock`: the other thread knows no other.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { asError } from '../errors/reasons.js';
import { HeartbeatThreadError } from '../errors/connection-errors.js';
import { newDoorPlace, removeDoorFoldersOf } from './shared/door-folders.js';
import { DefaultsForThread } from './shared/network-defaults.js';
import { ObservedStall } from './shared/observed-stall.js';
import { LINK, PULSE, sharedWords, TICK_MS } from './shared/relay-memory.js';
import type { FromWorker, RelayRequest, RelayWorkerData, ToWorker } from './shared/relay-messages.js';
import { errorFrom, RelayPassage } from './relay-passage.js';
import { settingsOfTheNetwork } from './settings-for-worker.js';
import { THREAD_SOURCE } from './thread-source.js';

/** A worker that does not turn its loop for so long, while we turn ours, is replaced. */
const HUNG_AFTER_MS = 5_000;
/** A worker that was asked to end, and has nothing to wait for, may take so long; and so long when it was told to. */
const END_PATIENCE_MS = { asked: 200, terminated: 100 };
/** Of a stall of ours: a worker whose loop turned for this part of it went on meanwhile. */
const WENT_ON = 0.5;

interface PendingDial {
  ready(path: string): void;
  failed(cause: Error): void;
}

export class RelayThread {
  readonly #pulse = sharedWords(PULSE);
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #ticking: NodeJS.Timeout;
  readonly #defaults = new DefaultsForThread();
  readonly #dials = new Map<number, PendingDial>();
  readonly #passages = new Map<number, RelayPassage>();
  readonly #exited: Promise<void>;
  readonly #loaded: Promise<void>;
  #runs!: () => void;
  #hasLoaded = false;
  #watch: ObservedStall | undefined;
  /** Our last tick, and what the worker had counted then and at the tick before. */
  #last = { at: performance.now(), afterMs: 0, workerTicks: 0, workerTicksBefore: 0 };
  #lastId = 0;
  #deadBecause: Error | undefined;

  /** @param file of another worker, and another place for the doors: only in specs that want it to fail */
  constructor(
    file?: URL,
    private readonly doors = newDoorPlace(),
  ) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    try {
      this.#worker = new Worker(file ?? THREAD_SOURCE, {
        // As a source, so that it starts where no file can be found: in a bundle, in an archive.
        eval: file === undefined,
        name: 'rmq-keepalive heartbeats',
        workerData: { pulse: this.#pulse, doors: this.doors, port: port2 } satisfies RelayWorkerData,
        transferList: [port2],
        ...settingsOfTheNetwork(process.execArgv, process.env),
      });
    } catch (thrown) {
      // With --permission, for want of --allow-worker. Every attempt comes here, and open ports are never collected.
      port1.close();
      port2.close();
      throw thrown;
    }
    this.#loaded = new Promise((resolve) => {
      this.#runs = () => {
        this.#hasLoaded = true;
        resolve();
      };
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    // The worker cannot clean up behind itself when it is ended in the middle, be it with the process.
    process.once('exit', this.#leaveNoDoor);
    void this.#exited.then(() => {
      process.off('exit', this.#leaveNoDoor);
      this.#leaveNoDoor();
    });
    this.#worker.once('online', () => (this.#watch = new ObservedStall(TICK_MS, performance.now(), this.workerTicks)));
    this.#worker.on('error', (error) => this.#died(error));
    this.#worker.once('exit', (code) => this.#died(`it exited with code ${code}`));
    this.#port.on('message', (message: FromWorker) => this.#hear(message));
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    // The links keep the process alive as long as they are there, as sockets do; we do not.
    this.#ticking.unref();
    this.#worker.unref();
    this.#port.unref();
  }

  /**
   * Resolves when its program runs.
   * @throws {@link HeartbeatThreadError} it ended before
   */
  async untilLoaded(): Promise<void> {
    // Nothing else may keep the process alive yet.
    this.#worker.ref();
    await Promise.race([this.#loaded, this.#exited]);
    this.#worker.unref();
    if (!this.#hasLoaded) throw this.#deadBecause ?? new HeartbeatThreadError('it ended before it ran');
  }

  /** Why it is of no use any more; undefined while it runs. */
  get deadBecause(): Error | undefined {
    return this.#deadBecause;
  }

  /**
   * Connects to a broker, and opens a local door to it.
   * @throws the error of the dial with its original `code`; {@link HeartbeatThreadError}; or the reason of `signal`
   */
  dial(request: RelayRequest, signal: AbortSignal): Promise<RelayPassage> {
    const id = ++this.#lastId;
    const memory = sharedWords(LINK);
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      if (this.#deadBecause !== undefined) throw this.#deadBecause;
      this.#dials.set(id, {
        ready: (path) => {
          const passage = new RelayPassage(path, memory, this, () => this.#letGo(id));
          this.#passages.set(id, passage);
          resolve(passage);
        },
        failed: reject,
      });
      // Also when the door is open already: the thread would wait there for us.
      signal.addEventListener('abort', () => this.#abandon(id, signal, reject), { once: true });
      const dial = { ...request, defaults: this.#defaults.forDial(request.tls) };
      this.#tell({ type: 'dial', id, dial, memory });
    });
  }

  /** Hears at once what the worker has said, which would else wait for a turn of the event loop. */
  catchUp(): void {
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port))
      this.#hear(got.message as FromWorker);
  }

  wentOnFor(stalledForMs: number): boolean {
    const { at, afterMs, workerTicks, workerTicksBefore } = this.#last;
    // A stall delays our own tick as well: it may have come before this question, or may still come.
    const hasTicked = afterMs > performance.now() - at;
    const ticks = hasTicked ? workerTicks - workerTicksBefore : this.workerTicks - workerTicks;
    return (ticks + 1) * TICK_MS >= stalledForMs * WENT_ON;
  }

  /**
   * Ends the worker, whose links are over. Resolves when it is gone, or when it cannot be ended yet: a thread in the middle
   * of a system call (a name server that does not answer) ends when that is over.
   */
  async close(): Promise<void> {
    this.#stop(new HeartbeatThreadError('it was ended'));
    this.#tell({ type: 'end' });
    this.#worker.ref();
    if (!(await this.#hasExitedWithin(END_PATIENCE_MS.asked))) {
      void this.#worker.terminate();
      await this.#hasExitedWithin(END_PATIENCE_MS.terminated);
    }
    this.#worker.unref();
  }

  #hasExitedWithin(patienceMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patienceMs);
      void this.#exited.then(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  readonly #leaveNoDoor = (): void => removeDoorFoldersOf(this.doors);

  #tick(): void {
    Atomics.add(this.#pulse, PULSE.mainTicks, 1);
    const now = performance.now();
    const workerTicks = this.workerTicks;
    const hungForMs = this.#watch?.look(now, workerTicks) ?? 0;
    this.#last = { at: now, afterMs: now - this.#last.at, workerTicks, workerTicksBefore: this.#last.workerTicks };
    if (hungForMs < HUNG_AFTER_MS) return;
    this.#died(`it did not turn for ${(hungForMs / 1000).toFixed(1)} s`);
    void this.#worker.terminate();
  }

  /** How often the worker's event loop has turned, in ticks. */
  get workerTicks(): number {
    return Atomics.load(this.#pulse, PULSE.workerTicks);
  }

  #hear(message: FromWorker): void {
    if (message.type === 'loaded') return this.#runs();
    const { id } = message;
    const dial = this.#dials.get(id);
    this.#dials.delete(id);
    switch (message.type) {
      case 'ready':
        return dial?.ready(message.path);
      case 'dial-failed':
        dial?.failed(errorFrom(message.error));
        // Behind the open door, before we came: TLS 1.3 refuses a certificate of ours only then.
        return this.#passages.get(id)?.wasLost({ kind: 'failed', error: message.error });
      case 'lost':
        return this.#passages.get(id)?.wasLost(message.reason);
      case 'over':
        this.#passages.delete(id);
    }
  }

  #abandon(id: number, signal: AbortSignal, reject: (reason: Error) => void): void {
    this.#dials.delete(id);
    this.#letGo(id);
    reject(asError(signal.reason));
  }

  #letGo(id: number): void {
    if (this.#deadBecause === undefined) this.#tell({ type: 'abandon', id });
  }

  #died(cause: unknown): void {
    if (this.#deadBecause === undefined) this.#stop(new HeartbeatThreadError('it ended unexpectedly', cause));
  }

  #stop(reason: Error): void {
    this.#deadBecause = reason;
    clearInterval(this.#ticking);
    for (const dial of this.#dials.values()) dial.failed(reason);
    this.#dials.clear();
  }

  #tell(message: ToWorker): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#port.postMessage(message);
  }
}
