// The heartbeat thread, which after a while does nothing any more.
await import('#engine/relay/thread/relay-worker.js');
setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 1_000);
