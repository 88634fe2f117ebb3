#!/usr/bin/env bash
# New Relic's documentation loads its agent into a service of ES modules with a loader:
# `node --experimental-loader newrelic/esm-loader.mjs --require newrelic main.mjs`. Nest 12 is ES modules only.
#
# Expected: the service starts, as it does without the agent.
# Seen:     it does not: a file of @nestjs/core 12 that the agent instruments is rewritten by CommonJS rules, and `require` is not
#           defined in it. With Nest 11 (CommonJS) under the same loader it starts; so does Nest 12 with `--require newrelic` alone.
# Versions: newrelic 13.20.0, @nestjs/core 12.5.1 and 11.2.10 (npm) on the machine's Node.js (20.20 when written). No broker.
# Matters:  an upgrade to Nest 12 ends at the agent's start line, and the error names a file of Nest, not the agent.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export NEW_RELIC_APP_NAME=finding NEW_RELIC_LICENSE_KEY=0000000000000000000000000000000000000000
export NEW_RELIC_HOST=127.0.0.1 NEW_RELIC_PORT=1 NEW_RELIC_LOG_ENABLED=false NEW_RELIC_NO_CONFIG_FILE=true

failed=0
expect() { # WHAT, then whether it is so
  if [ "$2" = "$3" ]; then echo "as said: $1: $2"; else
    echo "NOT SO: $1: $2, and not $3"
    failed=1
  fi
}

# The last line of what a service says: "started", or the kind of error that it ends with.
starts() { # FOLDER, then node's options
  local folder=$1
  shift
  cat >"$folder/main.mjs" <<'PROGRAM'
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
class AppModule {}
Module({})(AppModule);
const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
await app.close();
console.log('started');
process.exit(0);
PROGRAM
  (cd "$folder" && timeout 60 node --no-warnings "$@" main.mjs 2>&1 || true) | grep -oE '^started|^[A-Za-z]*Error: .*' | head -1
}

for nest in 12.5.1 11.2.10; do
  npm install --prefix "$work/$nest" --silent --no-audit --no-fund --ignore-scripts \
    "@nestjs/core@$nest" "@nestjs/common@$nest" reflect-metadata@0.2.2 rxjs@7.8.2 newrelic@13.20.0
done
loader=(--experimental-loader newrelic/esm-loader.mjs --require newrelic)
expect 'Nest 12 without the agent' "$(starts "$work/12.5.1")" started
expect 'Nest 12, --require newrelic' "$(starts "$work/12.5.1" --require newrelic)" started
seen=$(starts "$work/12.5.1" "${loader[@]}")
echo "Nest 12 with the loader ends with: $seen"
expect 'of it' "${seen%% in ES module*}" 'ReferenceError: require is not defined'
expect 'Nest 11 with the loader' "$(starts "$work/11.2.10" "${loader[@]}")" started
exit "$failed"
