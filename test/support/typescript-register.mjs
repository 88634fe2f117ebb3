// For `node --import`: installs the hooks that let Node run TypeScript.
import { register } from 'node:module';

register('./typescript-hooks.mjs', import.meta.url);
