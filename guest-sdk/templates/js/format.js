// @NAME@: a JSON object per row; no config.
import { all, both, defineFormat, defineModule } from './kit/millrace.js';

export const describe = defineModule({
  name: '@NAME@',
  version: '0.1.0',
  configSchema: { type: 'object', additionalProperties: false },
});

export const format = defineFormat({
  announce: () => ({ plan: { reads: both(all) } }),
  // Cells are text as the database prints it; what the source did not send is not in the object. A truncate has no row: no record.
  format(change) {
    const row = change.row;
    return row ? [{ value: JSON.stringify({ table: change.relation.table, op: change.op, row: row.toObject() }) }] : [];
  },
});
