/** Whether a TCP connection of this process still holds its descriptor; the kernel knows, whatever the stream says. */
import { readFile } from 'node:fs/promises';

/** The kernel's list is Linux's. */
export const canSeeSockets = process.platform === 'linux';

/**
 * Whether the end of a loopback connection with this local port still belongs to a process. A socket that was only
 * half-closed does; one that was destroyed does not, even while the kernel itself is not done with the connection.
 */
export async function isSocketHeld(localPort: number): Promise<boolean> {
  const port = localPort.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')),
  );
  return tables
    .flatMap((table) => table.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .some(([, local, , , , , , , , inode]) => local?.endsWith(`:${port}`) && inode !== '0');
}
