import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { useFaults } from '../../support/fault-fixture.js';
import { NEST_11, NEST_12, type NodeMajor, place, type Place } from '../support/place.js';
import { noteRow } from '../support/rows.js';
import { serviceIn } from '../support/service.js';

/** What Nest asks for when it is there. */
const OPTIONAL = [
  ...['@nestjs/websockets', '@nestjs/websockets/*', '@nestjs/platform-express', '@nestjs/platform-socket.io'],
  ...['class-transformer', 'class-transformer/*', 'class-validator', '@grpc/grpc-js', '@grpc/proto-loader', 'kafkajs'],
  ...['mqtt', 'nats', '@nats-io/*', 'ioredis', 'cache-manager', 'file-type'],
];
const externals = (flag: string): string[] => OPTIONAL.map((name) => `${flag}${name}`);

/** For webpack and rspack, which are the same here: everything in, but for what is not installed. */
const PACKED = (builder: string): string => `
const builder = require('${builder}');
const optional = ${JSON.stringify(OPTIONAL)}.map((name) => name.replace('/*', ''));
const config = {
  mode: 'production', target: 'node', entry: './main.js', optimization: { minimize: false },
  output: { path: __dirname + '/${builder.replace(/\W/g, '')}', filename: 'main.js' },
  plugins: [new builder.IgnorePlugin({
    checkResource: (name) => optional.some((one) => name === one || name.startsWith(one + '/')),
  })],
};
builder(config, (failed, stats) => {
  if (!failed && !stats.hasErrors()) return;
  console.error(failed ?? stats.toString('errors-only'));
  process.exit(1);
});
`;

/** By itself tsup leaves the dependencies out. */
const TSUP = `module.exports = {
  external: ${JSON.stringify(OPTIONAL)},
  noExternal: [/^(?!${OPTIONAL.map((name) => name.replace('/*', '').replace('/', '.')).join('|')})/],
};
`;

/** Two seconds, and a block of a little more than three of them: the broker gives up whoever is silent for two. */
const BLOCKED = { HEARTBEAT: '2', BLOCK_MS: '6500' };
/** What esbuild's documentation says of CommonJS packages in an ESM bundle; under a name that nobody else has. */
const ESM_BANNER =
  "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);";

interface Bundle {
  readonly folder: string;
  readonly file: string;
}

describe('a service in one bundle, where no file of the package can be found', () => {
  const faults = useFaults();
  let commonJs: Place;
  let esm: Place;

  beforeAll(async () => {
    commonJs = await place('bundlers-nest-11', {
      type: 'commonjs',
      dependencies: {
        ...NEST_11,
        '@rspack/core': '2.3.4',
        '@vercel/ncc': '0.45.0',
        esbuild: '0.28.2',
        tsup: '9.0.0',
        typescript: '5.9.3',
        webpack: '5.113.0',
      },
      files: {
        'main.js': serviceIn('commonjs'),
        'webpack.js': PACKED('webpack'),
        'rspack.js': PACKED('@rspack/core'),
        'tsup.config.js': TSUP,
      },
    });
    esm = await place('bundlers-nest-12', {
      dependencies: { ...NEST_12, esbuild: '0.28.2' },
      files: { 'main.js': serviceIn('module') },
    });
  }, 240_000);

  /** Runs it where nothing else is. */
  async function runAlone(at: Place, bundle: Bundle, env: NodeJS.ProcessEnv, node?: NodeMajor) {
    const cwd = await mkdtemp(join(tmpdir(), 'bundle-'));
    faults.afterwards(() => rm(cwd, { recursive: true }));
    await cp(join(at.folder, bundle.folder), cwd, { recursive: true });
    return at.run(['node', bundle.file], { cwd, node, env: { RMQ_URL: faults.vhost.url, ...BLOCKED, ...env } });
  }

  const esbuild = (format: 'cjs' | 'esm', file: string): string[] => [
    ...['esbuild', 'main.js', '--bundle', '--platform=node', '--target=node20', `--format=${format}`],
    ...[`--outfile=esbuild/${file}`, ...externals('--external:')],
    ...(format === 'esm' ? [`--banner:js=${ESM_BANNER}`] : []),
  ];

  it.each<[string, string[], Bundle]>([
    ['esbuild', esbuild('cjs', 'main.cjs'), { folder: 'esbuild', file: 'main.cjs' }],
    ['webpack', ['node', 'webpack.js'], { folder: 'webpack', file: 'main.js' }],
    ['@rspack/core', ['node', 'rspack.js'], { folder: 'rspackcore', file: 'main.js' }],
    [
      '@vercel/ncc',
      ['ncc', 'build', 'main.js', '-o', 'ncc', ...OPTIONAL.flatMap((name) => ['-e', name])],
      { folder: 'ncc', file: 'index.js' },
    ],
    ['tsup', ['tsup', 'main.js', '--format', 'cjs', '--out-dir', 'tsup'], { folder: 'tsup', file: 'main.js' }],
  ])('%s, CommonJS and Nest 11: it holds its connection through a block', async (bundler, build, bundle) => {
    const built = await commonJs.run(build, { node: 22 });
    expect(built).toMatchObject({ code: 0 });
    const run = await runAlone(commonJs, bundle, { THREAD: 'worker' });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n' });
    const packages = [bundler, '@nestjs/core'];
    await noteRow({ topic: 'Bundlers', what: 'CommonJS, everything in one file', at: commonJs, packages, run });
  });

  it('esbuild, ESM and Nest 12: it holds its connection through a block', async () => {
    expect(await esm.run(esbuild('esm', 'main.mjs'), { node: 22 })).toMatchObject({ code: 0 });
    const run = await runAlone(esm, { folder: 'esbuild', file: 'main.mjs' }, { THREAD: 'worker' });
    expect(run).toMatchObject({ code: 0, stdout: '{"id":"first","reconnects":0}\n' });
    const packages = ['esbuild', '@nestjs/core'];
    await noteRow({ topic: 'Bundlers', what: 'ESM, everything in one file', at: esm, packages, run });
  });

  it('control: without the thread the same block costs the connection', async () => {
    expect(await commonJs.run(esbuild('cjs', 'main.cjs'), { node: 22 })).toMatchObject({ code: 0 });
    const run = await runAlone(commonJs, { folder: 'esbuild', file: 'main.cjs' }, { THREAD: 'main' });
    expect(run.code).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ id: 'first', reconnects: expect.any(Number) });
    expect((JSON.parse(run.stdout) as { reconnects: number }).reconnects).toBeGreaterThan(0);
  });
});
