/** Command: puts a PostgreSQL into the cache before the tests need it. */
import { DatabaseUnavailableError, obtainPostgres } from './obtain-postgres.js';

try {
  await obtainPostgres({ onProgress: (sentence) => console.log(sentence) });
} catch (error) {
  console.error(error instanceof DatabaseUnavailableError ? error.message : error);
  process.exitCode = 1;
}
