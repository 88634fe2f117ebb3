/** Reads the interfaces of the public options with their TSDoc: those that the entries export, and those that these name. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const SOURCE = 'libs/rmq-keepalive/src';
const ENTRIES = [`${SOURCE}/index.ts`, `${SOURCE}/integrations/terminus/index.ts`] as const;

export interface Option {
  readonly name: string;
  readonly isRequired: boolean;
  readonly type: string;
  /** Of a number; empty for all else. */
  readonly unit: string;
  readonly byDefault: string;
  readonly text: string;
}

export interface OptionInterface {
  readonly name: string;
  readonly text: string;
  /** Whose options it has besides, as written: `Omit<SubscriptionOptions, 'queue'>`. */
  readonly bases: readonly string[];
  readonly options: readonly Option[];
}

/** By name, every interface of the library; of two with one name, the one that other files can import. */
export function interfacesByName(): ReadonlyMap<string, OptionInterface> {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !/\.(spec|d)\.ts$/.test(file))
    .map((file) => join(SOURCE, file));
  const found = files.flatMap(interfacesIn);
  const exportedLast = [...found.filter((node) => !isExported(node)), ...found.filter(isExported)];
  return new Map(exportedLast.map((node) => [node.name.text, described(node)]));
}

/** The names of those that a user can write: exported by an entry, or named by the type or the bases of one that is. */
export function namesOfOptions(interfaces: ReadonlyMap<string, OptionInterface>): ReadonlySet<string> {
  const isOptions = (name: string): boolean => /(Options|Defaults|Extras)$/.test(name) && interfaces.has(name);
  const found = new Set(ENTRIES.flatMap(namesIn).filter(isOptions));
  for (const name of found) {
    const { bases = [], options = [] } = interfaces.get(name) ?? {};
    const text = [...bases, ...options.map(({ type }) => type)].join(' ');
    for (const other of text.match(/\b[A-Z]\w+/g) ?? []) if (isOptions(other)) found.add(other);
  }
  return found;
}

function namesIn(entry: string): string[] {
  return parsed(entry).statements.flatMap((statement) => {
    const clause = ts.isExportDeclaration(statement) ? statement.exportClause : undefined;
    return clause !== undefined && ts.isNamedExports(clause) ? clause.elements.map(({ name }) => name.text) : [];
  });
}

function interfacesIn(file: string): ts.InterfaceDeclaration[] {
  return parsed(file).statements.filter((statement) => ts.isInterfaceDeclaration(statement));
}

const isExported = (node: ts.InterfaceDeclaration): boolean =>
  node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ?? false;

const parsed = (file: string): ts.SourceFile =>
  ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);

function described(node: ts.InterfaceDeclaration): OptionInterface {
  return {
    name: node.name.text,
    // An example belongs into an editor's hover.
    text: textOf(node).split('```')[0]?.trim() ?? '',
    bases: (node.heritageClauses ?? []).flatMap(({ types }) => types.map((type) => oneLine(type.getText()))),
    options: node.members.filter((member) => ts.isPropertySignature(member)).map(optionOf),
  };
}

function optionOf(member: ts.PropertySignature): Option {
  const type = oneLine(member.type?.getText() ?? 'unknown');
  const name = member.name.getText();
  return {
    name,
    isRequired: member.questionToken === undefined,
    type,
    unit: /\bnumber\b/.test(type) ? (tagOf(member, 'unit') ?? unitIn(name)) : '',
    byDefault: tagOf(member, 'default') ?? '',
    text: textOf(member),
  };
}

/** A name says its unit: `timeoutMs`, `timeoutSeconds`, `maxBytes`. */
function unitIn(name: string): string {
  if (name.endsWith('Ms')) return 'ms';
  if (name.endsWith('Seconds')) return 'seconds';
  return name.endsWith('Bytes') ? 'bytes' : '';
}

function textOf(node: ts.Node): string {
  const comments = ts.getJSDocCommentsAndTags(node).filter((part) => ts.isJSDoc(part));
  return (ts.getTextOfJSDocComment(comments.at(-1)?.comment) ?? '').replace(/\{@link (\w+)\}/g, '`$1`').trim();
}

function tagOf(node: ts.Node, name: string): string | undefined {
  const tag = ts.getJSDocTags(node).find(({ tagName }) => tagName.text === name);
  return tag && oneLine(ts.getTextOfJSDocComment(tag.comment) ?? '');
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim();
