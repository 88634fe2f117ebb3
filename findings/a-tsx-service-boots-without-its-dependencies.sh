#!/usr/bin/env bash
# A service that is started with tsx, and a provider that asks for another one by class, as everywhere in Nest.
#
# Expected: the provider gets it, or the boot fails: "Nest can't resolve dependencies".
# Seen:     neither. tsx (esbuild) writes no `design:paramtypes`, with emitDecoratorMetadata in the tsconfig too, and Nest takes a
#           class without it for one that asks for nothing. The service boots, and the dependency is undefined: the first message
#           or request finds that out. With @Inject(Class) on the parameter it is there. ts-node, from the same file, needs none.
# Versions: tsx 4.23.15, ts-node 10.9.2, typescript 5.9.3, @nestjs/common and core 11.2.10 (npm) on the machine's Node.js (20.20).
# Matters:  a consumer whose publisher is undefined fails with each message, and not at boot. Write @Inject under tsx.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >tsconfig.json <<'JSON'
{ "compilerOptions": { "target": "es2022", "module": "nodenext", "moduleResolution": "nodenext", "types": [], "skipLibCheck": true,
  "experimentalDecorators": true, "emitDecoratorMetadata": true } }
JSON
npm init --yes >package.log
npm install --silent --no-audit --no-fund tsx@4.23.15 ts-node@10.9.2 typescript@5.9.3 @nestjs/common@11.2.10 @nestjs/core@11.2.10 \
  reflect-metadata@0.2.2 rxjs@7.8.2

program() {
  cat <<TS
import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
@Injectable() class Publisher {}
@Injectable() class Consumer { constructor($1 readonly publisher: Publisher) {} }
@Module({ providers: [Publisher, Consumer] }) class AppModule {}
void NestFactory.createApplicationContext(AppModule, { logger: false }).then((app) => {
  console.log('booted, the publisher is', typeof app.get(Consumer).publisher);
});
TS
}
program '' >by-class.ts
program '@Inject(Publisher)' >by-inject.ts

expect() {
  local claim=$1 wanted=$2 seen
  shift 2
  seen=$("$@" 2>&1 | tail -1)
  echo "  $claim: $seen"
  [ "$seen" = "$wanted" ] || { echo "  expected: $wanted"; exit 1; }
}
expect 'tsx, by class' 'booted, the publisher is undefined' npx tsx by-class.ts
expect 'tsx, with @Inject' 'booted, the publisher is object' npx tsx by-inject.ts
expect 'control: ts-node, by class' 'booted, the publisher is object' npx ts-node by-class.ts
echo 'It is as the header says.'
