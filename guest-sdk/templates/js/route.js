// @NAME@: one topic, the partition by the text of a column. Config: {"topic": "orders", "column": "region"}.
import { Fault, both, defineModule, defineRoute, listed, perChange, toHashOf } from './kit/millrace.js';

export const describe = defineModule({
  name: '@NAME@',
  version: '0.1.0',
  configSchema: {
    type: 'object',
    additionalProperties: false,
    required: ['topic', 'column'],
    properties: { topic: { type: 'string' }, column: { type: 'string', description: 'its text decides the partition' } },
  },
});

export const route = defineRoute({
  init(config) {
    for (const name of ['topic', 'column']) if (typeof config[name] !== 'string') throw `${name}: must be a string`;
    return config;
  },
  // A table without the column goes to one partition, the hash of its name; no call per change is needed for that.
  announce(table, { topic, column }) {
    const index = table.columns.findIndex(({ name }) => name === column);
    return { plan: index < 0 ? toHashOf(topic, table.table) : perChange(both(listed(index))) };
  },
  // `hashOf` decides the partition and is the record key, unless the format gives another.
  route(change, _, { topic, column }) {
    const row = change.row;
    if (!row) return { topic, partition: 0 };
    const cell = row.bytes(0);
    if (cell === undefined) throw new Fault(`${column}: not sent by the source`);
    return cell === null ? { topic, partition: 0 } : { topic, hashOf: cell };
  },
});
