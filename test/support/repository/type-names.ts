/** Names in the declarations of a package, read from their syntax: what a table of its options has to have. */
import { readFileSync } from 'node:fs';
import ts from 'typescript';

/**
 * Of the interfaces, classes and enums `types` of these files: `Interface.member`, each once; of an interface in a namespace
 * `Namespace.Interface.member`. Private members are nobody's business, and what every emitter has is Node's.
 */
export function memberNames(files: readonly string[], types: readonly string[]): string[] {
  const names = new Set<string>();
  for (const { prefix, statement } of files.flatMap(declarationsIn)) {
    if (!ts.isInterfaceDeclaration(statement) && !ts.isClassDeclaration(statement) && !ts.isEnumDeclaration(statement))
      continue;
    const type = `${prefix}${statement.name?.text ?? ''}`;
    if (!types.includes(type)) continue;
    for (const name of membersIn(statement)) names.add(`${type}.${name}`);
  }
  return [...names];
}

/** With those of an object that is written in place: `options?: { urls?: string[] }`. */
function membersIn({ members }: { members: readonly (ts.ClassElement | ts.TypeElement | ts.EnumMember)[] }): string[] {
  return members.flatMap((member) => {
    if (member.name === undefined || !ts.isIdentifier(member.name) || isPrivate(member)) return [];
    const name = member.name.text;
    if (OF_EVERY_EMITTER.has(name)) return [];
    const inPlace = ts.isPropertySignature(member) && member.type !== undefined && ts.isTypeLiteralNode(member.type);
    return [name, ...(inPlace && name === 'options' ? membersIn(member.type as ts.TypeLiteralNode) : [])];
  });
}

const OF_EVERY_EMITTER = new Set([
  ...['once', 'addListener', 'removeListener', 'listeners', 'prependListener', 'prependOnceListener'],
]);

/** Of what exists at run time: classes, functions, constants and enums that these files export. */
export function exportedValues(files: readonly string[]): string[] {
  const names = new Set<string>();
  for (const { statement } of files.flatMap(declarationsIn)) {
    if (!isExported(statement)) continue;
    if (ts.isVariableStatement(statement))
      for (const { name } of statement.declarationList.declarations) if (ts.isIdentifier(name)) names.add(name.text);
    const isValue =
      ts.isClassDeclaration(statement) || ts.isFunctionDeclaration(statement) || ts.isEnumDeclaration(statement);
    if (isValue && statement.name !== undefined) names.add(statement.name.text);
  }
  return [...names];
}

/** The names in the first cells of a page's tables. */
export function namesInTable(page: string): string[] {
  return readFileSync(page, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => [...(line.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
}

interface Declared {
  /** Of its namespace: `Options.`. */
  readonly prefix: string;
  readonly statement: ts.Statement;
}

/** Also those in namespaces. */
function declarationsIn(file: string): Declared[] {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  const all = (statements: readonly ts.Statement[], prefix: string): Declared[] =>
    statements.flatMap((statement) =>
      ts.isModuleDeclaration(statement) && statement.body !== undefined && ts.isModuleBlock(statement.body)
        ? all(statement.body.statements, `${prefix}${statement.name.text}.`)
        : [{ prefix, statement }],
    );
  return all(source.statements, '');
}

function isPrivate(member: ts.Node): boolean {
  const modifiers = ts.getCombinedModifierFlags(member as ts.Declaration);
  return (modifiers & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !== 0;
}

function isExported(statement: ts.Statement): boolean {
  return (
    ts.canHaveModifiers(statement) &&
    statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
  );
}
