// The reference module in JavaScript: does what ../README.md says, and gives the answers in ../golden.

import {
  Fault, all, boolean, both, byColumns, bytes, defineFilter, defineFormat, defineMap, defineModule, defineRoute, drop, isJsonNumber,
  keep, keyOf, listed, log, perChange, rewritten, timestamp, toHashOf, toNumber, unchanged, wholeNumber,
} from './kit/millrace.js';
import { count } from './kit/counter.js';

export const describe = defineModule({ name: 'conformance', version: '1.0.0', configSchema: { type: 'object' } });

function known(config, ...names) {
  for (const name of Object.keys(config)) if (!names.includes(name)) throw `${name}: unknown`;
}

function names(config, name) {
  const list = config[name] ?? [];
  if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) throw `${name}: not a list of strings`;
  return list;
}

const fullName = (table) => `${table.schema}.${table.table}`;
const columnOf = (table, name) => table.columns.findIndex((column) => column.name === name);

// Rows whose amount is at least min.
export const filter = defineFilter({
  init(config) {
    known(config, 'min');
    if (config.min === undefined) throw 'min: missing';
    if (!Number.isSafeInteger(config.min)) throw 'min: not a whole number';
    log.info(`filter: min ${config.min}`);
    return BigInt(config.min);
  },
  announce(table) {
    const amount = columnOf(table, 'amount');
    if (table.schema === 'refused') throw `${fullName(table)}: refused`;
    if (table.schema === 'hidden') return { plan: drop };
    return { plan: amount < 0 ? keep : perChange(both(listed(amount))) };
  },
  keep(change, _, min) {
    const row = change.row;
    count('seen');
    // A truncate has no row.
    if (!row) return true;
    const raw = row.bytes(0);
    if (raw === null) return false;
    if (raw === undefined) throw new Fault('amount: not sent by the source');
    const amount = wholeNumber(String.fromCharCode(...raw));
    if (amount === undefined) throw new Fault('amount: not a whole number');
    return amount >= min;
  },
});

// Columns masked, renamed and dropped.
export const map = defineMap({
  init(config) {
    known(config, 'mask', 'drop', 'rename');
    const rename = config.rename ?? {};
    if (typeof rename !== 'object' || !Object.values(rename).every((to) => typeof to === 'string')) {
      throw 'rename: not an object of strings';
    }
    return { rename: new Map(Object.entries(rename)), mask: names(config, 'mask'), drop: names(config, 'drop') };
  },
  announce(table, rules) {
    const [columns, sources, masked] = [[], [], []];
    let changed = false;
    table.columns.forEach((column, index) => {
      if (rules.drop.includes(column.name)) {
        changed = true;
        return;
      }
      const mask = rules.mask.includes(column.name);
      if (mask) masked.push(index);
      changed ||= rules.rename.has(column.name);
      const name = rules.rename.get(column.name) ?? column.name;
      columns.push(mask ? { ...column, name, typeName: 'text', typeOid: 25, jdbcType: 12 } : { ...column, name });
      sources.push(mask ? -1 : index);
    });
    if (!changed && masked.length === 0) return { plan: unchanged };
    const reads = both(listed(...masked));
    return { plan: rewritten({ after: { ...table, columns }, sources, reads, mayDrop: masked.length > 0 }) };
  },
  keep(change) {
    const row = change.row;
    for (let i = 0; i < (row?.length ?? 0); i++) {
      const raw = row.bytes(i);
      if (raw && String.fromCharCode(...raw) === 'drop me') return false;
    }
    return true;
  },
  // `get` makes sure that a cell is UTF-8.
  write: (_, image) => [...image].map((cell, i) => (typeof cell === 'string' ? `***${image.bytes(i).length}` : cell)),
});

// By the value of region, else by the key, else by the table.
export const route = defineRoute({
  init(config) {
    known(config, 'topic');
    if (config.topic === undefined) throw 'topic: missing';
    if (typeof config.topic !== 'string') throw 'topic: not a string';
    return config.topic;
  },
  announce(table, topic) {
    const region = columnOf(table, 'region');
    const columns = keyOf(table);
    const data = fullName(table);
    if (table.schema === 'pinned') return { plan: toNumber(topic, 3) };
    if (region >= 0) return { plan: perChange(both(listed(region))), data };
    return { plan: columns.length ? byColumns(topic, columns) : toHashOf(topic, data) };
  },
  route(change, table, topic) {
    const row = change.row;
    if (!row) return { topic, hashOf: table };
    const region = row.get(0);
    if (region === null) return { topic, partition: 0 };
    if (region === undefined) throw new Fault('region: not sent by the source');
    if (region === '') throw new Fault('region: empty');
    return { topic: `${topic}.${region}`, hashOf: region };
  },
});

const WHOLE = [-6, 5, 4, -5];
const NUMBERS = [2, 3, 7, 8];

function base64(raw) {
  return btoa(String.fromCharCode(...raw));
}

function typed(column, text) {
  const checked = (value, why) => {
    if (value === undefined) throw new Fault(`${column.name}: ${why}`);
    return value;
  };
  if (WHOLE.includes(column.jdbcType)) {
    checked(wholeNumber(text), 'not a whole number');
    return text;
  }
  if (NUMBERS.includes(column.jdbcType) && isJsonNumber(text)) return text;
  if (column.jdbcType === 16) return String(checked(boolean(text), 'not a boolean'));
  if (column.jdbcType === -2) return `"${base64(checked(bytes(text), 'not hexadecimal'))}"`;
  if (column.jdbcType === 93) return String(timestamp(text) ?? JSON.stringify(text));
  return JSON.stringify(text);
}

function object(image) {
  if (!image) return 'null';
  const members = [];
  for (let i = 0; i < image.length; i++) {
    const cell = image.get(i);
    if (cell === undefined) continue;
    const column = image.relation.columns[i];
    members.push(`${JSON.stringify(column.name)}:${cell === null ? 'null' : typed(column, cell)}`);
  }
  return `{${members.join(',')}}`;
}

// JSON with a value for each type.
export const format = defineFormat({
  init(config) {
    known(config, 'audit', 'schema');
    const audit = names(config, 'audit');
    log.info('format: ready');
    return { audit, schema: config.schema === true };
  },
  announce(table, { schema }) {
    const valueSchema = schema ? { language: 'json', name: fullName(table), text: '{"type":"object"}' } : undefined;
    return { plan: { reads: both(all), valueSchema }, data: { name: fullName(table), key: keyOf(table) } };
  },
  format(change, table, { audit }) {
    const { op } = change;
    if (op === 'truncate') return [];
    const image = change.newImage;
    const headers = [['op', op]];
    let key;
    if (op === 'update') {
      headers.push(['xid', String(change.xid)]);
      const parts = table.key.map((column) => image.get(column));
      key = parts.length && parts.every((part) => typeof part === 'string') ? parts.join('/') : null;
    }
    const unsent = change.relation.columns.filter((_, i) => image && image.bytes(i) === undefined).map(({ name }) => name);
    const value = `{"op":"${op}","table":${JSON.stringify(table.name)},"id":${change.id},"commit_lsn":${change.commitLsn},` +
      `"csn":${change.csn},"xid":${change.xid},"ordinal":${change.ordinal},"shard":${change.shard},"commit_time":${change.commitTime},` +
      `"now":${change.now},"new":${object(image)},"old":${object(change.oldImage)}` +
      (unsent.length ? `,"unsent":${JSON.stringify(unsent)}` : '') + (change.oldIsKeyOnly ? ',"key_only":true}' : '}');
    const records = [{ key, value, headers }];
    if (op === 'delete') records.push({ value: null, headers });
    if (audit.includes(change.relation.table)) records.push({ key: null, topic: 'audit', value: `{"id":${change.id}}` });
    return records;
  },
});
