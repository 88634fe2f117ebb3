// The heartbeat thread in a system call that nobody can interrupt, as `getaddrinfo` is while no name server answers.
import { execFileSync } from 'node:child_process';
await import('#engine/relay/thread/relay-worker.js');
setTimeout(() => execFileSync('sleep', ['6']), 500);
