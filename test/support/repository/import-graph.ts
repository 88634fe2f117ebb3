/** Who imports whom: read from the sources with the compiler's own parser, type imports and JSDoc imports included. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

export interface Import {
  /** Relative to the root that was asked for. */
  readonly from: string;
  /** Relative to the root too, if the file is ours and there; otherwise as it is written. */
  readonly to: string;
  readonly isTypeOnly: boolean;
}

/** @param file relative to `root` */
export function importsOf(root: string, file: string): Import[] {
  const path = join(root, file);
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found: Import[] = [];
  const note = (specifier: string, isTypeOnly: boolean): void => {
    found.push({ from: file, to: targetOf(root, path, specifier), isTypeOnly });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) note(textOf(node.moduleSpecifier), isOfTypes(node.importClause));
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) note(textOf(node.moduleSpecifier), node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      note(textOf(node.argument.literal), true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0])
      note(textOf(node.arguments[0]), false);
    ts.forEachChild(node, visit);
  };
  visit(source);
  if (file.endsWith('.js')) for (const specifier of jsdocImportsIn(source.text)) note(specifier, true);
  return found;
}

/** Each circle once: the files of a strongly connected part of the graph, sorted. */
export function circlesIn(imports: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { from, to } of imports) next.set(from, [...(next.get(from) ?? []), to]);
  const reachableFrom = (start: string): Set<string> => {
    const seen = new Set<string>();
    const open = [...(next.get(start) ?? [])];
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (seen.has(file)) continue;
      seen.add(file);
      open.push(...(next.get(file) ?? []));
    }
    return seen;
  };
  const reach = new Map([...next.keys()].map((file) => [file, reachableFrom(file)]));
  const circles = new Map<string, string[]>();
  for (const [file, seen] of reach) {
    if (!seen.has(file)) continue;
    const members = [...seen].filter((other) => reach.get(other)?.has(file)).sort();
    circles.set(members.join(), members);
  }
  return [...circles.values()];
}

/** JavaScript has its types in comments. */
function jsdocImportsIn(text: string): string[] {
  return [...text.matchAll(/@typedef \{import\('([^']+)'\)/g)].map(([, specifier]) => specifier as string);
}

function isOfTypes(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false;
  if (clause.isTypeOnly) return true;
  const names = clause.namedBindings;
  return clause.name === undefined && names !== undefined && ts.isNamedImports(names)
    ? names.elements.length > 0 && names.elements.every((name) => name.isTypeOnly)
    : false;
}

function textOf(node: ts.Node): string {
  return ts.isStringLiteralLike(node) ? node.text : '';
}

function targetOf(root: string, importer: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const written = resolve(dirname(importer), specifier);
  const path = [written, written.replace(/\.js$/, '.ts')].find((candidate) => existsSync(candidate));
  return path === undefined ? specifier : relative(root, path);
}
