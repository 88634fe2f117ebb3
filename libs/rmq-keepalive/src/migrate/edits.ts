/** Small edits of a source file that every migration needs: imports, options in an object literal, notes for a person. */
import { type Expression, Node, type ObjectLiteralExpression, type SourceFile } from 'ts-morph';

export const OURS = 'nestjs-rmq-keepalive';

/** Stands where a person has to decide. */
export function todo(what: string): string {
  return `// TODO(${OURS}): ${what.replace(/\s+/g, ' ')}`;
}

/** The name by which the file knows an export of a module; `undefined`: it does not import it by name. */
export function localName(file: SourceFile, from: string, name: string): string | undefined {
  const specifier = file
    .getImportDeclarations()
    .filter((declaration) => declaration.getModuleSpecifierValue() === from)
    .flatMap((declaration) => declaration.getNamedImports())
    .find((each) => each.getName() === name);
  return specifier && (specifier.getAliasNode()?.getText() ?? specifier.getName());
}

export function importsFrom(file: SourceFile, from: string): boolean {
  return file.getImportDeclarations().some((declaration) => declaration.getModuleSpecifierValue() === from);
}

/** Adds a named import, once. */
export function addImport(file: SourceFile, from: string, name: string, kind: 'value' | 'type' = 'value'): void {
  if (localName(file, from, name) !== undefined) return;
  const declaration = file.getImportDeclaration(
    (each) => each.getModuleSpecifierValue() === from && !each.isTypeOnly() && each.getNamespaceImport() === undefined,
  );
  const specifier = { name, isTypeOnly: kind === 'type' };
  if (declaration === undefined) file.addImportDeclaration({ moduleSpecifier: from, namedImports: [specifier] });
  else declaration.addNamedImport(specifier);
}

/** Removes those named imports of a module that the file no longer uses, and the declaration when none is left. */
export function dropUnusedImports(file: SourceFile, from: string): void {
  for (const declaration of file.getImportDeclarations()) {
    if (declaration.getModuleSpecifierValue() !== from) continue;
    for (const specifier of declaration.getNamedImports()) {
      const local = specifier.getAliasNode()?.getText() ?? specifier.getName();
      if (!isUsed(file, local)) specifier.remove();
    }
    const isEmpty = declaration.getNamedImports().length === 0 && declaration.getNamespaceImport() === undefined;
    const other = declaration.getDefaultImport();
    if (isEmpty && (other === undefined || !isUsed(file, other.getText()))) declaration.remove();
  }
}

function isUsed(file: SourceFile, name: string): boolean {
  return identifiers(file).some(
    (node) => node.getText() === name && node.getFirstAncestor(Node.isImportDeclaration) === undefined,
  );
}

function identifiers(file: SourceFile): Node[] {
  return file.getDescendants().filter((node) => Node.isIdentifier(node));
}

/** Lines of an object literal that take the place of one of its properties. */
export type Rule = (value: Expression) => readonly string[];

/** The property goes on under another name. */
export const as =
  (name: string): Rule =>
  (value) => [`${name}: ${value.getText()}`];

/** It is not needed here. */
export const gone: Rule = () => [];

/** It is left out, and a person reads why and what stood there. */
export const decide =
  (what: string): Rule =>
  (value) => [todo(`${what} It was: ${value.getText()}`)];

/**
 * The properties of a literal, each by its rule; those without a rule stay, under a note. Spread properties and methods stay as
 * they are.
 */
export function byRules(literal: ObjectLiteralExpression, rules: Readonly<Record<string, Rule>>): string[] {
  return literal.getProperties().flatMap((property) => {
    if (!Node.isPropertyAssignment(property) && !Node.isShorthandPropertyAssignment(property))
      return [property.getText()];
    const name = property.getName().replace(/^['"]|['"]$/g, '');
    const value = Node.isPropertyAssignment(property) ? property.getInitializerOrThrow() : property.getNameNode();
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule !== undefined) return [...rule(value)];
    return [todo(`there is no option of this name, see the guide.`), property.getText()];
  });
}

export function literalOf(lines: readonly string[]): string {
  if (lines.length === 0) return '{}';
  return `{\n${lines.map((line) => (isComment(line) ? line : `${line},`)).join('\n')}\n}`;
}

function isComment(line: string): boolean {
  return line.startsWith('//');
}

/** The one object literal that a value is, or that a function returns at once. */
export function literalIn(node: Node | undefined): ObjectLiteralExpression | undefined {
  if (node === undefined || Node.isObjectLiteralExpression(node)) return node;
  if (Node.isParenthesizedExpression(node) || Node.isAsExpression(node) || Node.isSatisfiesExpression(node))
    return literalIn(node.getExpression());
  if (!Node.isArrowFunction(node)) return undefined;
  const body = node.getBody();
  if (!Node.isBlock(body)) return literalIn(body);
  const returns = body.getStatements().filter((statement) => Node.isReturnStatement(statement));
  return returns.length === 1 ? literalIn(returns[0]?.getExpression()) : undefined;
}

/** The value of a property that is written out. */
export function valueOf(literal: ObjectLiteralExpression, name: string): Expression | undefined {
  const property = literal.getProperty(name);
  if (Node.isPropertyAssignment(property)) return property.getInitializer();
  return Node.isShorthandPropertyAssignment(property) ? property.getNameNode() : undefined;
}

/** Replaces the first node that fits, and looks again until none does: an edit makes the nodes around it forgotten. */
export function replaceEach(within: Node, replacement: (node: Node) => string | undefined): void {
  for (;;) {
    let text: string | undefined;
    const found = within.getDescendants().find((node) => (text = replacement(node)) !== undefined);
    if (found === undefined || text === undefined) return;
    found.replaceWithText(text);
  }
}

export function isStatementOrMember(node: Node): boolean {
  return Node.isStatement(node) || Node.isMethodDeclaration(node) || Node.isPropertyDeclaration(node);
}

/** A note before the statement or the member of a class in which a node stands; once. */
export function noteBefore(node: Node, what: string): void {
  const holder = node.getFirstAncestor((each) => isStatementOrMember(each)) ?? node;
  const note = todo(what);
  if (!holder.getFullText().includes(note)) holder.replaceWithText(`${note}\n${holder.getText()}`);
}
