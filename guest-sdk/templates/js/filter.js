// @NAME@: drops rows where a column is NULL. Config: {"column": "email"}.
import { both, defineFilter, defineModule, keep, listed, perChange } from './kit/millrace.js';

export const describe = defineModule({
  name: '@NAME@',
  version: '0.1.0',
  configSchema: {
    type: 'object',
    additionalProperties: false,
    required: ['column'],
    properties: { column: { type: 'string', description: 'rows where it is NULL are dropped' } },
  },
});

export const filter = defineFilter({
  init(config) {
    if (typeof config.column !== 'string') throw 'column: must be a string';
    return config;
  },
  // Asked once per table: one without the column needs no call per change.
  announce(table, { column }) {
    const index = table.columns.findIndex(({ name }) => name === column);
    return { plan: index < 0 ? keep : perChange(both(listed(index))) };
  },
  // Asked once per change; the image has the one cell that `announce` asked for. A truncate has no image.
  keep: (change) => change.row?.bytes(0) !== null,
});
