// Nest 12 is ESM only, so the tests are ESM too.
const common = {
  // Not in the folder for temporary files, which a run has to itself.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          // What Nest reads of types.
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^nestjs-rmq-keepalive$': '<rootDir>/libs/rmq-keepalive/src/index.ts',
    '^nestjs-rmq-keepalive/errors$': '<rootDir>/libs/rmq-keepalive/src/errors.ts',
    '^nestjs-rmq-keepalive/(.+)$': '<rootDir>/libs/rmq-keepalive/src/integrations/$1/index.ts',
    '^#engine/(.*)\\.js$': '<rootDir>/libs/rmq-keepalive/src/engine/$1',
    '^#testing/(.*)\\.js$': '<rootDir>/libs/rmq-keepalive/src/integrations/testing/$1',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/libs/.*/dist/', '<rootDir>/dist/', '<rootDir>/.cache/'],
};

const withBrokers = {
  ...common,
  globalSetup: '<rootDir>/test/support/shared-brokers/setup.mjs',
  globalTeardown: '<rootDir>/test/support/shared-brokers/teardown.mjs',
};

export default {
  // Specs wait more than they work: for timeouts, heartbeats, brokers that come back. So three of them share a core.
  maxWorkers: 6,
  // Modules of a spec file stay in the worker's memory after it, and what a fork or a collection of garbage costs grows with that.
  workerIdleMemoryLimit: '600MB',
  testTimeout: 30_000,
  reporters: [
    'default',
    '<rootDir>/test/support/jest/slowest-files.mjs',
    '<rootDir>/test/ecosystem/support/compatibility-report.mjs',
  ],
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/libs/**/*.spec.ts',
        '<rootDir>/apps/**/*.spec.ts',
        '<rootDir>/test/repository/**/*.spec.ts',
      ],
    },
    {
      ...withBrokers,
      displayName: 'broker',
      testMatch: ['<rootDir>/test/**/!(*.slow).spec.ts'],
      testPathIgnorePatterns: [
        ...common.testPathIgnorePatterns,
        '<rootDir>/test/repository/',
        '<rootDir>/test/ecosystem/',
      ],
    },
    // Left out by `npm test` when it is given no path: see `test/run.mjs`.
    { ...withBrokers, displayName: 'slow', testMatch: ['<rootDir>/test/**/*.slow.spec.ts'] },
    // Real packages of others, installed on demand: `npm run test:ecosystem`.
    {
      ...common,
      displayName: 'ecosystem',
      globalSetup: '<rootDir>/test/ecosystem/support/setup.mjs',
      globalTeardown: '<rootDir>/test/ecosystem/support/teardown.mjs',
      testMatch: ['<rootDir>/test/ecosystem/**/*.spec.ts'],
    },
  ],
};
