// @NAME@: replaces the text of a column by stars. Config: {"column": "email"}.
import { both, defineMap, defineModule, listed, rewritten, unchanged } from './kit/millrace.js';

export const describe = defineModule({
  name: '@NAME@',
  version: '0.1.0',
  configSchema: {
    type: 'object',
    additionalProperties: false,
    required: ['column'],
    properties: { column: { type: 'string', description: 'its text is replaced by stars' } },
  },
});

export const map = defineMap({
  init(config) {
    if (typeof config.column !== 'string') throw 'column: must be a string';
    return config;
  },
  // The host copies every column but the one whose source is -1: that one `write` gives.
  announce(table, { column }) {
    const index = table.columns.findIndex(({ name }) => name === column);
    if (index < 0) return { plan: unchanged };
    const sources = table.columns.map((_, i) => (i === index ? -1 : i));
    return { plan: rewritten({ after: table, sources, reads: both(listed(index)) }) };
  },
  // NULL (null) and what the source did not send (undefined) stay what they are.
  write(change, image) {
    const cell = image.bytes(0);
    return [cell === null || cell === undefined ? cell : '***'];
  },
});
