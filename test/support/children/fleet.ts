/** Several processes of one program, as a deployment keeps them: what is killed is started again. */
import { TypescriptChild } from './typescript-child.js';
import { until } from '../until.js';

export class Fleet {
  #members: TypescriptChild[] = [];
  readonly #gone: TypescriptChild[] = [];

  /** @param readyLine what a member prints once it works */
  constructor(
    private readonly program: URL,
    private readonly readyLine: RegExp,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  get ready(): TypescriptChild[] {
    return this.#members.filter((member) => this.readyLine.test(member.stdout));
  }

  /** Everything that its members, also the killed ones, have printed. */
  get output(): string {
    return [...this.#gone, ...this.#members].map(({ stdout }) => stdout).join('');
  }

  async start(members: number): Promise<void> {
    for (let member = 0; member < members; member++) this.#members.push(this.#spawn());
    await this.untilReady();
  }

  async untilReady(): Promise<void> {
    const wanted = this.#members.length;
    await until(
      `${wanted} of ${this.program.pathname} work`,
      () => {
        const complaint = this.#members.find(({ stderr }) => /Error/.test(stderr))?.stderr;
        if (complaint !== undefined) throw new Error(complaint);
        return this.ready.length === wanted;
      },
      { timeoutMs: 20_000 },
    );
  }

  /** kill -9 of any one; another takes its place, sooner or later. */
  async killOne(): Promise<void> {
    const index = Math.floor(Math.random() * this.#members.length);
    const [victim] = this.#members.splice(index, 1, this.#spawn());
    await this.#kill(victim!);
  }

  /** kill -9 of all; nobody takes their place. */
  async killAll(): Promise<void> {
    await Promise.all(this.#members.splice(0).map((member) => this.#kill(member)));
  }

  async #kill(member: TypescriptChild): Promise<void> {
    this.#gone.push(member);
    await member.dispose();
  }

  #spawn(): TypescriptChild {
    return TypescriptChild.start(this.program, { env: this.env });
  }
}
