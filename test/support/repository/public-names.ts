/** The public names of the package: what each of its entries exports, its documentation, and the code that shows it. */
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import ts from 'typescript';

export interface PublicName {
  readonly name: string;
  /** The TSDoc of its declaration, without tags. */
  readonly documentation: string;
}

const LIBRARY = 'libs/rmq-keepalive';
const SOURCE = `${LIBRARY}/src`;

/** The subpaths of the package and the source file behind each. */
export function entries(): ReadonlyMap<string, string> {
  const { exports } = JSON.parse(readFileSync(`${LIBRARY}/package.json`, 'utf8')) as {
    exports: Record<string, { import: { default: string } } | string>;
  };
  return new Map(
    Object.entries(exports).flatMap(([subpath, target]) =>
      typeof target === 'string'
        ? []
        : [[subpath, target.import.default.replace('./dist/', `${SOURCE}/`).replace(/\.js$/, '.ts')] as const],
    ),
  );
}

/** By subpath, in the order of the alphabet. All entries are one program: the library is read once. */
export function publicNames(): ReadonlyMap<string, readonly PublicName[]> {
  const files = entries();
  const program = ts.createProgram([...files.values()], {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    experimentalDecorators: true,
    allowJs: true,
    noEmit: true,
  });
  const checker = program.getTypeChecker();
  return new Map(
    [...files].map(([subpath, file]) => {
      const source = program.getSourceFile(resolve(file)) ?? program.getSourceFile(file);
      const symbol = source && checker.getSymbolAtLocation(source);
      const names = symbol === undefined ? [] : checker.getExportsOfModule(symbol);
      return [
        subpath,
        names
          .map((exported) => {
            const declared =
              (exported.flags & ts.SymbolFlags.Alias) === 0 ? exported : checker.getAliasedSymbol(exported);
            const documentation = ts.displayPartsToString(declared.getDocumentationComment(checker));
            return { name: exported.name, documentation };
          })
          .sort((one, other) => (one.name < other.name ? -1 : 1)),
      ];
    }),
  );
}

/** All code that shows how the package is used: the fences of README, docs and TSDoc, and the examples. */
export function shownCode(): string {
  const files = (folder: string, ending: string): string[] =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith(ending))
      .map((file) => readFileSync(`${folder}/${file}`, 'utf8'));
  const fences = (text: string): string[] =>
    [...text.matchAll(/^[ *]*```(?:ts|typescript)\b.*\n([\s\S]*?)^[ *]*```/gm)].map(([, code]) => code as string);
  const pages = [readFileSync('README.md', 'utf8'), ...files('docs', '.md'), ...files(SOURCE, '.ts')];
  return [...pages.flatMap(fences), ...files('examples', '.ts')].join('\n');
}
