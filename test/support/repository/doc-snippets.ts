/**
 * The TypeScript of the documentation, pages and TSDoc, as programs that a compiler can check.
 *
 * A page shows a method without its class and a statement without its function, because that is what a reader needs. Here
 * each gets them back: a class with the fields that the pages speak of, and imports of what it names. Its lines stay its
 * lines, so that an error points into the page.
 */
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import ts from 'typescript';

export interface Snippet {
  /** From the repository's root. */
  readonly page: string;
  /** Of its first line, from 1. */
  readonly line: number;
  readonly code: string;
}

/** A fence after this comment shows what is not meant to compile: other people's code, or a mistake. */
const NOT_COMPILED = /<!-- not compiled: [^>]+-->\s*$/;
const LIBRARY = 'libs/rmq-keepalive/src';
const SURROUNDINGS = 'test/support/repository/doc-surroundings.ts';

const FROM_ELSEWHERE: Readonly<Record<string, { values: string; types?: string }>> = {
  '@nestjs/common': {
    values:
      'BadRequestException Body Controller Get Injectable Logger Module Param Post ServiceUnavailableException UseFilters UseGuards UsePipes',
    types: 'OnModuleDestroy OnModuleInit',
  },
  '@nestjs/microservices': { values: 'ClientsModule Ctx Payload RpcException Transport' },
  '@nestjs/testing': { values: 'Test' },
  '@nestjs/terminus': { values: 'HealthCheck HealthCheckService', types: 'HealthCheckResult' },
  'node:fs': { values: 'readFileSync' },
  'node:zlib': { values: 'deflateSync inflateSync' },
  zod: { values: 'z' },
};

export function snippetsIn(page: string): Snippet[] {
  const written = readFileSync(page, 'utf8');
  const text = page.endsWith('.ts') ? written.replace(/^ +\* ?/gm, '') : written;
  return [...text.matchAll(/^```(?:ts|typescript)\b.*\n([\s\S]*?)^```/gm)].flatMap((match) => {
    const before = text.slice(0, match.index);
    if (NOT_COMPILED.test(before)) return [];
    return [{ page, line: before.split('\n').length + 1, code: match[1] as string }];
  });
}

/** What the compiler says against them, each with page and line. All are one program: the library is read once. */
export function complaintsAbout(snippets: readonly Snippet[]): string[] {
  const places = placesOfNames();
  const programs = new Map(
    snippets.map((snippet, index) => [resolve(`test/support/repository/snippet-${index}.ts`), { snippet, text: '' }]),
  );
  for (const program of programs.values()) program.text = programOf(program.snippet, places);
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ['node'],
    strict: true,
    noImplicitReturns: true,
    noFallthroughCasesInSwitch: true,
    isolatedModules: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    skipLibCheck: true,
    allowJs: true,
    noEmit: true,
    paths: {
      'nestjs-rmq-keepalive': [`./${LIBRARY}/index.ts`],
      'nestjs-rmq-keepalive/errors': [`./${LIBRARY}/errors.ts`],
      'nestjs-rmq-keepalive/*': [`./${LIBRARY}/integrations/*/index.ts`],
    },
  };
  const host = ts.createCompilerHost(options);
  const { fileExists, getSourceFile } = host;
  host.fileExists = (file) => programs.has(file) || fileExists(file);
  host.getSourceFile = (file, version, ...rest) => {
    const text = programs.get(file)?.text;
    return text === undefined ? getSourceFile(file, version, ...rest) : ts.createSourceFile(file, text, version, true);
  };
  const program = ts.createProgram([...programs.keys()], options, host);
  return [...programs].flatMap(([file, { snippet }]) => {
    const source = program.getSourceFile(file);
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    return found.map((diagnostic) => complaint(diagnostic, snippet));
  });
}

function complaint({ file, start = 0, messageText }: ts.Diagnostic, { page, line }: Snippet): string {
  const above = file === undefined ? 1 : file.getLineAndCharacterOfPosition(start).line;
  // The first line of a program is ours.
  return `${relative('.', page)}:${line + Math.max(0, above - 1)} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
}

/** One line of our own, then the snippet. */
function programOf({ code }: Snippet, places: ReadonlyMap<string, Place>): string {
  if (/^import /m.test(code)) return `\n${code}`;
  const imports = importsFor(code, places);
  // A page that shows a constructor shows what it injects; the other fields come from the surroundings.
  const base = /^constructor\(/m.test(code) ? 'class Snippet {' : 'class Snippet extends Surroundings {';
  const asMembers = `${imports} ${base}\n${code}\n}`;
  const hasStatements = /^(const|let|return|await|if|for)\b/m.test(code);
  if (!hasStatements && isSyntax(asMembers)) return asMembers;
  const asModule = `${imports}\n${code}\nexport {};`;
  if (/^(export |@)/m.test(code) && isSyntax(asModule)) return asModule;
  return `${imports} ${base} async run(): Promise<unknown> {\n${code}\nreturn undefined; } }`;
}

function isSyntax(text: string): boolean {
  return (ts.transpileModule(text, { reportDiagnostics: true }).diagnostics ?? []).length === 0;
}

interface Place {
  readonly module: string;
  readonly isType: boolean;
}

/** Imports of what the snippet names and does not declare itself. */
function importsFor(code: string, places: ReadonlyMap<string, Place>): string {
  const named = new Set(['Surroundings', ...(code.match(/\b[A-Za-z_]\w*\b/g) ?? [])]);
  return [...named]
    .flatMap((name) => {
      const place = places.get(name);
      if (place === undefined || new RegExp(`\\b(class|const|interface|type|function) ${name}\\b`).test(code))
        return [];
      return [`import ${place.isType ? 'type ' : ''}{ ${name} } from '${place.module}';`];
    })
    .join(' ');
}

function placesOfNames(): Map<string, Place> {
  const places = new Map<string, Place>();
  const add = (module: string, isType: boolean, names: readonly string[]): void => {
    for (const name of names) places.set(name, { module, isType });
  };
  for (const [module, { values, types = '' }] of Object.entries(FROM_ELSEWHERE)) {
    add(module, false, values.split(' '));
    add(module, true, types.split(' ').filter(Boolean));
  }
  for (const [module, index] of [
    // The main entry after the errors: what both export comes from there.
    ['nestjs-rmq-keepalive/errors', `${LIBRARY}/errors.ts`],
    ['nestjs-rmq-keepalive', `${LIBRARY}/index.ts`],
    ['nestjs-rmq-keepalive/terminus', `${LIBRARY}/integrations/terminus/index.ts`],
    ['nestjs-rmq-keepalive/opentelemetry', `${LIBRARY}/integrations/opentelemetry/index.ts`],
    ['nestjs-rmq-keepalive/testing', `${LIBRARY}/integrations/testing/index.ts`],
    ['nestjs-rmq-keepalive/microservices', `${LIBRARY}/integrations/microservices/index.ts`],
  ] as const)
    for (const [, isType, names] of readFileSync(index, 'utf8').matchAll(/^export (type )?\{([^}]*)\}/gm))
      add(module, isType !== undefined, (names as string).split(/[\s,]+/).filter(Boolean));
  for (const [, kind, name] of readFileSync(SURROUNDINGS, 'utf8').matchAll(
    /^export (?:declare )?(?:abstract )?(class|const|interface|type|function) (\w+)/gm,
  ))
    add('./doc-surroundings.js', kind === 'interface' || kind === 'type', [name as string]);
  return places;
}
