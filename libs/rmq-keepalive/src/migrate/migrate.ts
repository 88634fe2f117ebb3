/** Code for another library becomes code for this one, as far as a program can tell; the rest is marked for a person. */
import type { Project, SourceFile } from 'ts-morph';
import { todo } from './edits.js';
import { fromAmqplib } from './from-amqplib.js';
import { fromGolevelup } from './from-golevelup.js';
import { fromTransportRmq } from './from-transport-rmq.js';

export const SOURCES = { golevelup: fromGolevelup, 'transport-rmq': fromTransportRmq, amqplib: fromAmqplib } as const;

export type Source = keyof typeof SOURCES;

interface MigratedFile {
  readonly path: string;
  /** How many notes a person has to read. */
  readonly todos: number;
}

/** Changes the files of a project in memory; `project.save()` writes them. A file that has nothing to change is left alone. */
export function migrate(project: Project, from: Source): MigratedFile[] {
  return project.getSourceFiles().flatMap((file) => {
    const before = file.getFullText();
    SOURCES[from](file);
    return file.getFullText() === before ? [] : [{ path: file.getFilePath(), todos: todosIn(file) }];
  });
}

function todosIn(file: SourceFile): number {
  return file.getFullText().split(todo('')).length - 1;
}
