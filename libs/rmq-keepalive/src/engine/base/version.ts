/** The published version, told to the broker as a client property; a spec keeps it equal to package.json. */
export const LIBRARY_VERSION = '0.1.0';
