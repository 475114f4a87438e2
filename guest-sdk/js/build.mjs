// build.mjs OUT.wasm SOURCE.js STAGE... [--wit DIR] [--grant counter]: makes a component of a JavaScript module.
//
// STAGE: filter, map, route, format; those the module exports. --wit: the folder of the contract (transform.wit). componentize-js is looked
// for in the folder that MILLRACE_JS_TOOLCHAIN names, else beside this file and in the folders above. All features of the engine are off,
// so that the component imports nothing but the contract: no clock, no randomness, no network, no files.

import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals: [out, source, ...stages] } = parseArgs({
  allowPositionals: true,
  options: { wit: { type: 'string' }, grant: { type: 'string', multiple: true, default: [] } },
});
if (!out || !source || !stages.length || stages.some((stage) => !['filter', 'map', 'route', 'format'].includes(stage))) {
  console.error('usage: build.mjs OUT.wasm SOURCE.js filter|map|route|format... [--wit DIR] [--grant counter]');
  process.exit(2);
}
const here = path.dirname(fileURLToPath(import.meta.url));
const contract = values.wit ?? path.join(here, '../../wit/v1.0');

const PACKAGE = '@bytecodealliance/componentize-js';
let componentize;
try {
  const toolchain = process.env.MILLRACE_JS_TOOLCHAIN;
  const inside = (folder) => pathToFileURL(path.resolve(folder, 'node_modules', PACKAGE, 'src/componentize.js')).href;
  ({ componentize } = await import(toolchain ? inside(toolchain) : PACKAGE));
} catch (error) {
  console.error(`js kit: componentize-js cannot be loaded: run "npm ci --ignore-scripts" in ${here} (${error.message})`);
  process.exit(1);
}

// A world of the module's own: this toolchain puts every import of its world into the component, and what is not granted is refused.
const work = await mkdtemp(path.join(tmpdir(), 'millrace-js-'));
try {
  const wit = path.join(work, 'wit');
  await cp(contract, path.join(wit, 'deps/transform'), { recursive: true, filter: (file) => !file.endsWith('.md') });
  const lines = ['log', ...values.grant].map((name) => `import millrace:transform/${name}@1.0.0;`)
    .concat(['describe', ...stages].map((name) => `export millrace:transform/${name === 'map' ? '%map' : name}@1.0.0;`));
  await writeFile(path.join(wit, 'world.wit'), `package local:module;\nworld module {\n  ${lines.join('\n  ')}\n}\n`);
  // The engine reads modules from the source's own folder only, so the kit is put into it: `import ... from './kit/millrace.js'`.
  const app = path.join(work, 'app');
  const skipped = ['node_modules', 'target', 'golden'];
  await cp(path.dirname(path.resolve(source)), app, { recursive: true, filter: (file) => !skipped.includes(path.basename(file)) });
  for (const file of ['millrace.js', 'change.js', 'values.js', 'counter.js']) await cp(path.join(here, file), path.join(app, 'kit', file));
  const { component } = await componentize({
    sourcePath: path.join(app, path.basename(source)),
    witPath: wit,
    worldName: 'module',
    disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
  });
  await mkdir(path.dirname(path.resolve(out)), { recursive: true });
  await writeFile(out, component);
  console.error(`js kit: ${out} ${component.length} bytes`);
} finally {
  await rm(work, { recursive: true, force: true });
}
