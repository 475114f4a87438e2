// js-order-events: what happened to an order, told as events of their own topics, instead of rows.
//
// Config: {"table": "sales.orders", "status": "status", "topics": {"paid": "orders.paid", ...}}. A row whose status becomes one of
// `topics` gives one event there; every other change of a row gives none. Rows of other tables give none.
import { Fault, all, both, defineFormat, defineModule, nothing } from './kit/millrace.js';

export const describe = defineModule({
  name: 'js-order-events',
  version: '1.0.0',
  configSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    additionalProperties: false,
    required: ['table', 'topics'],
    properties: {
      table: { type: 'string', description: 'schema and table, with a dot between' },
      status: { type: 'string', default: 'status', description: 'the column that says how far an order is' },
      topics: {
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'per status the topic of the event that it has been reached',
      },
    },
  },
});

export const format = defineFormat({
  init({ table, status = 'status', topics, ...rest }) {
    for (const name of Object.keys(rest)) throw `${name}: unknown setting`;
    if (typeof table !== 'string') throw 'table: must be a string';
    if (typeof status !== 'string') throw 'status: must be a string';
    if (topics === null || typeof topics !== 'object' || Array.isArray(topics)) throw 'topics: must be an object';
    for (const [name, topic] of Object.entries(topics)) if (typeof topic !== 'string') throw `topics.${name}: must be a string`;
    return { table, status, topics: new Map(Object.entries(topics)) };
  },

  announce(relation, { table, status }) {
    if (`${relation.schema}.${relation.table}` !== table) return { plan: { reads: both(nothing) }, data: false };
    if (!relation.columns.some(({ name }) => name === status)) throw `${table}: has no column ${status}`;
    // Without old images of all columns nobody can tell which update changed the status.
    if (relation.identity !== 1) throw `${table}: needs REPLICA IDENTITY FULL`;
    return { plan: { reads: both(all) }, data: true };
  },

  format(change, watched, { status, topics }) {
    const row = change.newImage;
    if (!watched || !row) return [];
    const now = row.named(status);
    const before = change.oldImage?.named(status);
    if (now === undefined) throw new Fault(`${status}: not sent by the source`);
    const topic = topics.get(now);
    if (now === before || topic === undefined) return [];
    const event = { event: now, before: before ?? null, at: Number(change.commitTime), order: row.toObject() };
    return [{ value: JSON.stringify(event), topic, headers: [['event', now]] }];
  },
});
