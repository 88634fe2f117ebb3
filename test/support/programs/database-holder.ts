/** A program that starts a database, prints its traces as one line of JSON, and waits to be killed. */
import { PrivateDatabase } from '../../../tools/database/private-database.js';

const database = await PrivateDatabase.start();
process.stdout.write(`${JSON.stringify({ pid: database.pid, url: await database.createDatabase() })}\n`);
setInterval(() => undefined, 60_000);
