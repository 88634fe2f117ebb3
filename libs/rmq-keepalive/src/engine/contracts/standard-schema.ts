/**
 * The part of Standard Schema v1 that we use, written out so that no package is needed for it: zod, valibot, arktype and
 * others put this behind the key `~standard`. Source: https://standardschema.dev
 *
 * ```ts
 * const positive: StandardSchema<number> = {
 *   '~standard': {
 *     version: 1,
 *     vendor: 'shop',
 *     validate: (value) =>
 *       typeof value === 'number' && value > 0 ? { value } : { issues: [{ message: 'must be more than 0' }] },
 *   },
 * };
 * ```
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** For the compiler only; not there at run time. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says about a value: the value it makes of it, or what is wrong. */
type SchemaResult<Output> =
  { readonly value: Output; readonly issues?: undefined } | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
