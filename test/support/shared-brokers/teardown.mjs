/** Runs once, behind the last spec. */
export default async function tearDown() {
  await globalThis.stopSharedBrokers();
}
