/** Which file exports which name, and which names are imported: read from the sources with the compiler's own parser. */
import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import ts from 'typescript';

export interface ExportedName {
  /** From the repository's root. */
  readonly file: string;
  readonly name: string;
}

/** Of what the files declare and export; names that they pass on from elsewhere are imports of those. */
export function exportedNames(files: readonly string[]): ExportedName[] {
  return files.flatMap((file) =>
    parsed(file).statements.flatMap((statement) =>
      isExported(statement) ? declaredBy(statement).map((name) => ({ file, name })) : [],
    ),
  );
}

/** As `file#name`. An import of everything (`import * as`) is none of a name; there is none in this repository. */
export function importedNames(files: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (const file of files) {
    const source = parsed(file);
    const note = (specifier: string, name: string): void => {
      found.add(`${targetOf(file, specifier)}#${name}`);
    };
    const visit = (node: ts.Node): void => {
      if (ts.isImportDeclaration(node)) {
        const bindings = node.importClause?.namedBindings;
        if (bindings !== undefined && ts.isNamedImports(bindings)) noteAll(bindings, node.moduleSpecifier, note);
      } else if (ts.isExportDeclaration(node) && node.moduleSpecifier && node.exportClause) {
        if (ts.isNamedExports(node.exportClause)) noteAll(node.exportClause, node.moduleSpecifier, note);
      } else if (ts.isImportTypeNode(node) && node.qualifier && ts.isLiteralTypeNode(node.argument)) {
        note(textOf(node.argument.literal), node.qualifier.getText(source).replace(/\..*/, ''));
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    // JavaScript names types in comments; a child process, or a page's surroundings, are named by what a string says.
    for (const [, specifier, name] of source.text.matchAll(/import\('([^']+)'\)\)?\.(\w+)/g))
      note(specifier as string, name as string);
    for (const [, names, specifier] of source.text.matchAll(/const \{([^}]+)\} = await import\('([^']+)'\)/g))
      for (const name of (names as string).split(',')) note(specifier as string, name.replace(/:.*/, '').trim());
  }
  return found;
}

function noteAll(
  list: ts.NamedImports | ts.NamedExports,
  specifier: ts.Expression,
  note: (specifier: string, name: string) => void,
): void {
  for (const { propertyName, name } of list.elements) note(textOf(specifier), (propertyName ?? name).text);
}

function parsed(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
}

function isExported(statement: ts.Statement): boolean {
  return (
    ts.canHaveModifiers(statement) &&
    (ts.getModifiers(statement) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
  );
}

function declaredBy(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.flatMap(({ name }) =>
      ts.isIdentifier(name)
        ? [name.text]
        : name.elements.flatMap((element) =>
            ts.isBindingElement(element) && ts.isIdentifier(element.name) ? [element.name.text] : [],
          ),
    );
  const { name } = statement as ts.Statement & { readonly name?: ts.Node };
  return name !== undefined && ts.isIdentifier(name) ? [name.text] : [];
}

function textOf(node: ts.Node): string {
  return ts.isStringLiteralLike(node) ? node.text : '';
}

/** From the repository's root, with the ending of its source; a package stays as it is written. */
function targetOf(importer: string, specifier: string): string {
  const path = specifier.startsWith('#engine/')
    ? `libs/rmq-keepalive/src/engine/${specifier.slice('#engine/'.length)}`
    : specifier.startsWith('#testing/')
      ? `libs/rmq-keepalive/src/integrations/testing/${specifier.slice('#testing/'.length)}`
      : specifier.startsWith('.')
        ? relative('.', resolve(dirname(importer), specifier))
        : specifier;
  return path.replace(/\.[jt]s$/, '');
}
