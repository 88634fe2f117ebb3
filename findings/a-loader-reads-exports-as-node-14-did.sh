#!/usr/bin/env bash
# A package whose `exports` serve `pkg/file` and `pkg/file.js` alike: { "./*.js": "./*.js", "./*": "./*.js" }. Nest 12's do.
#
# Expected: under `node --loader ts-node/esm` it resolves as under node alone: `pkg/file.js` is file.js.
# Seen:     file.js.js. ts-node carries a copy of Node's resolver from before patterns could have something behind the star: it
#           passes "./*.js" over, takes "./*", and appends another ".js". So Nest 12 cannot be loaded, whatever imports it: it asks
#           for '@nestjs/common/pipes/validation.pipe.js' itself.
# Versions: ts-node 10.9.2, typescript 5.9.3, @nestjs/common and core 12.5.1 (npm) on the machine's Node.js (20.20 when written).
# Matters:  an ESM service of Nest 12 has to be started by tsx, swc-node or from its build. No library can do anything about it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund ts-node@10.9.2 typescript@5.9.3 @nestjs/common@12.5.1 @nestjs/core@12.5.1 \
  reflect-metadata@0.2.2 rxjs@7.8.2
echo '{ "compilerOptions": { "module": "nodenext", "moduleResolution": "nodenext", "types": [], "skipLibCheck": true } }' >tsconfig.json
mkdir node_modules/pkg
echo '{ "name": "pkg", "type": "module", "exports": { "./*.js": "./*.js", "./*": "./*.js" } }' >node_modules/pkg/package.json
echo 'console.log("pkg/file.js is loaded");' >node_modules/pkg/file.js
echo 'import "pkg/file.js";' | tee plain.mjs >by-loader.ts
echo 'import "@nestjs/core"; console.log("Nest is loaded");' | tee nest.mjs >nest.ts

expect() {
  local claim=$1 wanted=$2 seen
  shift 2
  seen=$("$@" 2>&1 || true)
  grep -q "$wanted" <<<"$seen" || { echo "  $claim: expected $wanted, but: $seen"; exit 1; }
  echo "  $claim: $(grep -o "$wanted" <<<"$seen" | head -1)"
}
expect 'control: node alone' 'pkg/file.js is loaded' node plain.mjs
expect 'ts-node' 'file\.js\.js' node --loader ts-node/esm by-loader.ts
expect 'control: Nest 12, node alone' 'Nest is loaded' node nest.mjs
expect 'Nest 12, ts-node' 'validation\.pipe\.js\.js' node --loader ts-node/esm nest.ts
echo 'It is as the header says.'
