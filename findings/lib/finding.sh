# Sourced by the findings: a folder of its own with amqplib in it, and brokers from Debian's packages.
# `run_on 4.0 4.3 <<'PROGRAM'` runs the program once for each series; run.mjs says what a program is given.

AMQPLIB=2.3.1 # the version that every finding is about, unless it says otherwise

findings=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
repository=$(dirname "$findings")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run_on() {
  cat >"$work/program.mjs"
  build_tools
  npm install --prefix "$work" --silent --no-audit --no-fund --ignore-scripts "amqplib@$AMQPLIB"
  node "$findings/lib/run.mjs" "$work/program.mjs" "$@"
}

# The runner of brokers is TypeScript; the library itself is not used.
build_tools() {
  [ -f "$repository/libs/rmq-keepalive/dist/integrations/testing/real/private-broker.js" ] && return
  (cd "$repository" && [ -d node_modules ] || npm ci --silent && npm run --silent build)
}
