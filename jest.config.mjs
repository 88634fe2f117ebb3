import { SWC_OPTIONS } from './test/support/swc-options.mjs';

// Nest 12 is ESM only, so the tests are ESM too.
const common = {
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': ['@swc/jest', SWC_OPTIONS],
  },
  moduleNameMapper: {
    '^nestjs-rmq-keepalive$': '<rootDir>/libs/rmq-keepalive/src/index.ts',
    '^nestjs-rmq-keepalive/errors$': '<rootDir>/libs/rmq-keepalive/src/errors.ts',
    '^nestjs-rmq-keepalive/(.+)$': '<rootDir>/libs/rmq-keepalive/src/integrations/$1/index.ts',
    '^#engine/(.*)\\.js$': '<rootDir>/libs/rmq-keepalive/src/engine/$1',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  testPathIgnorePatterns: ['/node_modules/', '/dist/'],
  modulePathIgnorePatterns: ['<rootDir>/libs/.*/dist/', '<rootDir>/dist/'],
};

export default {
  // Specs wait more than they work: for timeouts, heartbeats, brokers that come back.
  maxWorkers: 3,
  testTimeout: 30_000,
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
      ...common,
      displayName: 'broker',
      globalSetup: '<rootDir>/test/support/shared-brokers/setup.mjs',
      globalTeardown: '<rootDir>/test/support/shared-brokers/teardown.mjs',
      testMatch: ['<rootDir>/test/**/*.spec.ts'],
      testPathIgnorePatterns: [...common.testPathIgnorePatterns, '<rootDir>/test/repository/'],
    },
  ],
};
