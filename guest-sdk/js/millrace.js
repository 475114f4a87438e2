// JavaScript kit for Millrace transform modules: the four stages over packed batches.
//
//   import { defineModule, defineFilter, perChange, both, listed, Fault } from './kit/millrace.js';
//   export const describe = defineModule({ name: 'big-orders', version: '1.0.0', configSchema: {} });
//   export const filter = defineFilter({
//     init(config) { return config; },
//     announce(table, settings) { return { plan: perChange(both(listed(0))) }; },
//     keep(change, table, settings) { return change.row.get(0) !== null; },
//   });
//
// `init` gets the config as an object and returns the settings; `announce` returns the plan and, as `data`, what it wants back with each
// change of the table. A string or Error thrown from either stops the task; thrown for one change it is that change's fault, what was
// written for it is taken back, and its neighbours go on.

import { log as write } from 'millrace:transform/log@1.0.0';
import { Change, Fault, Image, columnsOf, keyOf } from './change.js';

export { Change, Fault, Image, keyOf };
export * from './values.js';

const encoder = new TextEncoder();
const NOT_SENT = 0x40000000;
const NULL = 0x80000000;

/** Messages to the gateway's log; the host limits their rate. */
export const log = {
  error: (message) => write(0, message),
  warn: (message) => write(1, message),
  info: (message) => write(2, message),
  debug: (message) => write(3, message),
};

export const nothing = { tag: 'nothing' };
export const key = { tag: 'key' };
export const all = { tag: 'all' };
/** These columns by index, in this order. */
export const listed = (...columns) => ({ tag: 'listed', val: Uint16Array.from(columns) });
/** The same selection of both images. */
export const both = (selection) => ({ new: selection, old: selection });

/** Filter plans. */
export const keep = { tag: 'keep' };
export const drop = { tag: 'drop' };
/** Plan of a filter or a router: every change is asked for, with these cells. */
export const perChange = (reads) => ({ tag: 'per-change', val: reads });
/** Map plans. `sources`: per column of `after` the column the host copies it from, or -1: `write` gives it. */
export const unchanged = { tag: 'unchanged' };
export const rewritten = ({ after, sources, reads, mayDrop = false }) =>
  ({ tag: 'rewritten', val: { after, sources: Int32Array.from(sources), reads, mayDrop } });
/** Route plans. */
export const toNumber = (topic, number) => ({ tag: 'fixed', val: { topic, partition: { tag: 'number', val: number } } });
export const toHashOf = (topic, bytes) => ({ tag: 'fixed', val: { topic, partition: { tag: 'hash-of', val: encode(bytes) } } });
export const byColumns = (topic, columns) => ({ tag: 'by-columns', val: { topic, columns: Uint16Array.from(columns) } });

/** Bytes of a string; bytes stay as they are. */
export function encode(text) {
  return typeof text === 'string' ? encoder.encode(text) : text;
}

function message(error) {
  if (typeof error === 'string') return error;
  if (error instanceof Fault) return error.message;
  // A slip in the module: say where.
  const place = typeof error?.stack === 'string' ? error.stack.split('\n')[0] : '';
  return place ? `${error} at ${place}` : String(error);
}

/** Runs what the host takes as a result: an exception becomes its error text. */
function result(action) {
  try {
    return action();
  } catch (error) {
    throw message(error);
  }
}

/** What the component is. */
export function defineModule({ name, version, configSchema, stateful = false }) {
  const schema = typeof configSchema === 'string' ? configSchema : JSON.stringify(configSchema);
  return { about: () => ({ name, version, configSchema: schema, stateful }) };
}

/** Bytes that grow. */
class Arena {
  constructor() {
    this.bytes = new Uint8Array(1024);
    this.length = 0;
  }

  push(text) {
    const bytes = encode(text);
    const need = this.length + bytes.length;
    if (need > this.bytes.length) {
      const grown = new Uint8Array(Math.max(need, 2 * this.bytes.length));
      grown.set(this.bytes.subarray(0, this.length));
      this.bytes = grown;
    }
    this.bytes.set(bytes, this.length);
    this.length = need;
    return need;
  }

  done() {
    return this.bytes.slice(0, this.length);
  }
}

/** Index of a name in a short list, added when new. */
function intern(names, name) {
  const at = names.lastIndexOf(name);
  return at >= 0 ? at : names.push(name) - 1;
}

/** One stage: what was announced, and the loop over changes. */
function stage(module, readsOf, process) {
  let settings;
  const tables = new Map();
  return {
    init: (config) => result(() => {
      let parsed;
      try {
        parsed = config.trim() === '' ? {} : JSON.parse(config);
      } catch {
        parsed = undefined;
      }
      if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw 'config: not a JSON object';
      settings = module.init?.(parsed) ?? parsed;
    }),
    announce: (relation) => result(() => {
      const { plan, data } = module.announce(relation, settings);
      const { reads, written } = readsOf(plan);
      tables.set(relation.id, {
        relation, data, written,
        newColumns: columnsOf(reads.new, relation),
        oldColumns: columnsOf(reads.old, relation),
      });
      return plan;
    }),
    process: (batch) => {
      const faults = [];
      return process(batch, faults, (each, undo) => {
        for (let index = 0; index < batch.ops.length; index++) {
          try {
            const table = tables.get(batch.relations[index]);
            if (!table) throw new Fault(`relation ${batch.relations[index]} was not announced to this stage`);
            if (batch.ops[index] > 3) throw new Fault(`operation ${batch.ops[index]} is newer than this module`);
            each(index, new Change(batch, index, table), table, settings);
          } catch (error) {
            undo?.(index);
            faults.push({ index, message: message(error) });
          }
        }
      });
    },
  };
}

const NOTHING = both(nothing);

/** `{ init(config), announce(table, settings), keep(change, data, settings) }`; `keep` gives true or false. */
export function defineFilter(module) {
  const reads = (plan) => ({ reads: plan.tag === 'per-change' ? plan.val : NOTHING });
  return stage(module, reads, (batch, faults, eachChange) => {
    const bits = new Uint8Array(Math.ceil(batch.ops.length / 8));
    eachChange((index, change, table, settings) => {
      if (module.keep(change, table.data, settings)) bits[index >> 3] |= 1 << (index & 7);
    });
    return { keep: bits, faults };
  });
}

/**
 * `{ init, announce, keep?(change, data, settings), write(change, image, data, settings) }`; `write` gives the written cells of one
 * image as an array: strings or bytes, null for SQL NULL, undefined for what is not known since the source did not send it.
 */
export function defineMap(module) {
  const reads = (plan) => plan.tag === 'rewritten'
    ? { reads: plan.val.reads, written: plan.val.sources.filter((source) => source < 0).length }
    : { reads: NOTHING, written: 0 };
  return stage(module, reads, (batch, faults, eachChange) => {
    const data = new Arena();
    const ends = [];
    const dropped = [];
    eachChange((index, change, table, settings) => {
      if (module.keep && !module.keep(change, table.data, settings)) {
        dropped.push(index);
        return;
      }
      // Encoded whole before anything is written, so that there is nothing to take back.
      const written = [];
      for (const image of [change.hasNew && change.newImage, change.hasOld && change.oldImage]) {
        if (!table.written || image === false) continue;
        const cells = module.write(change, image, table.data, settings);
        if (cells.length !== table.written) {
          throw new Fault(`the module wrote ${cells.length} cells of an image, its plan has ${table.written}`);
        }
        for (const cell of cells) written.push(cell === null || cell === undefined ? cell : encode(cell));
      }
      for (const cell of written) {
        if (cell === null) ends.push((data.length | NULL) >>> 0);
        else if (cell === undefined) ends.push(data.length | NOT_SENT);
        else ends.push(data.push(cell));
      }
    });
    return { data: data.done(), ends: Uint32Array.from(ends), dropped: Uint32Array.from(dropped), faults };
  });
}

/** `{ init, announce, route(change, data, settings) }`; `route` gives `{ topic, partition }` or `{ topic, hashOf }` (string or bytes). */
export function defineRoute(module) {
  const reads = (plan) => ({ reads: plan.tag === 'per-change' ? plan.val : NOTHING });
  return stage(module, reads, (batch, faults, eachChange) => {
    const count = batch.ops.length;
    const arena = new Arena();
    const topics = [];
    const answer = { topicOf: new Uint32Array(count), partitions: new Int32Array(count), hashEnds: new Uint32Array(count) };
    const fill = (index, topic, partition) => {
      answer.topicOf[index] = intern(topics, topic);
      answer.partitions[index] = partition;
      answer.hashEnds[index] = arena.length;
    };
    eachChange((index, change, table, settings) => {
      const { topic, partition, hashOf } = module.route(change, table.data, settings);
      if (typeof topic !== 'string') throw new Fault('the module gave no topic');
      if (hashOf !== undefined) {
        arena.push(hashOf);
        return fill(index, topic, -1);
      }
      // Kafka counts partitions in an int32.
      if (!Number.isInteger(partition) || partition < 0 || partition > 0x7fffffff) {
        throw new Fault('the module gave neither the number of a partition nor bytes to hash');
      }
      fill(index, topic, partition);
      // What stands at a fault is ignored, but the lists keep one element per change.
    }, (index) => fill(index, '', 0));
    return { topics, arena: arena.done(), ...answer, faults };
  });
}

/**
 * `{ init, announce, format(change, data, settings) }`; the plan is `{ reads, keySchema?, valueSchema? }`. `format` gives a list of
 * records, none to drop the change: `{ key, value, topic?, headers? }`. `key`: string or bytes, null for none, undefined for what the
 * router hashed. `value`: string or bytes, null for a tombstone. `headers`: pairs of name and string or bytes.
 */
export function defineFormat(module) {
  return stage(module, (plan) => plan, (batch, faults, eachChange) => {
    const arena = new Arena();
    const [changes, keyEnds, valueEnds, topicOf, marks, topics] = [[], [], [], [], [], []];
    const header = { names: [], arena: new Arena(), recordOf: [], nameOf: [], valueEnds: [] };
    eachChange((index, change, table, settings) => {
      // Encoded whole before anything is written, so that there is nothing to take back.
      const records = [...(module.format(change, table.data, settings) ?? [])].map(({ key, value, topic, headers = [] }) => ({
        key: key === undefined || key === null ? key : encode(key),
        value: value === null ? null : encode(value),
        topic,
        headers: headers.map(([name, text]) => [name, encode(text)]),
      }));
      if (records.some((record) => record.value === undefined)) throw new Fault('a record has no value; null makes a tombstone');
      for (const { key, value, topic, headers } of records) {
        for (const [name, text] of headers) {
          header.recordOf.push(changes.length);
          header.nameOf.push(intern(header.names, name));
          header.valueEnds.push(header.arena.push(text));
        }
        changes.push(index);
        keyEnds.push(key ? arena.push(key) : arena.length);
        valueEnds.push(value ? arena.push(value) : arena.length);
        topicOf.push(topic === undefined ? -1 : intern(topics, topic));
        marks.push((key === null ? 1 : 0) | (value === null ? 2 : 0) | (key === undefined ? 4 : 0));
      }
    });
    return {
      arena: arena.done(),
      changes: Uint32Array.from(changes),
      keyEnds: Uint32Array.from(keyEnds),
      valueEnds: Uint32Array.from(valueEnds),
      topicOf: Int32Array.from(topicOf),
      marks: Uint8Array.from(marks),
      topics,
      headers: {
        names: header.names,
        arena: header.arena.done(),
        recordOf: Uint32Array.from(header.recordOf),
        nameOf: Uint32Array.from(header.nameOf),
        valueEnds: Uint32Array.from(header.valueEnds),
      },
      faults,
    };
  });
}
