// Reading a batch: tables, changes, images, cells. Knows the packing of the contract's `batch` and nothing of any stage.

const END = 0x3fffffff;
const UNSENT = 0x40000000;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What stops one change; its neighbours are unharmed. Any other exception of a change does the same, with its place in the text. */
export class Fault extends Error {}

/** Column indexes in key order; empty where a table has no primary key. */
export function keyOf(relation) {
  const key = [];
  relation.columns.forEach((column, index) => {
    if (column.keyPosition > 0) key.push(index);
  });
  return key.sort((a, b) => relation.columns[a].keyPosition - relation.columns[b].keyPosition);
}

/** The column indexes a selection stands for, in the order its cells have. */
export function columnsOf(selection, relation) {
  switch (selection.tag) {
    case 'key': return keyOf(relation);
    case 'listed': return Array.from(selection.val);
    case 'all': return relation.columns.map((_, index) => index);
    default: return [];
  }
}

/** One image of a row: the cells the stage asked for. */
export class Image {
  constructor(batch, first, length, relation, columns) {
    this.batch = batch;
    this.first = first;
    this.length = length;
    this.relation = relation;
    this.columns = columns;
  }

  /** Raw bytes of the cell at a position of the interest; null for SQL NULL; undefined for what the source did not send. */
  bytes(position) {
    if (position >= this.length) return undefined;
    const { data, ends } = this.batch;
    const at = this.first + position;
    const end = ends[at];
    if (end > 0x7fffffff) return null;
    if (end & UNSENT) return undefined;
    return data.subarray(at === 0 ? 0 : ends[at - 1] & END, end & END);
  }

  /** The cell as a string; null for SQL NULL; undefined for what the source did not send. Not UTF-8: a fault that names the column. */
  get(position) {
    const bytes = this.bytes(position);
    if (bytes === null || bytes === undefined) return bytes;
    try {
      return strict.decode(bytes);
    } catch {
      throw new Fault(`${this.name(position)}: not UTF-8`);
    }
  }

  /** The cell of the column of this name, as `get`; undefined also where the interest left it out. */
  named(name) {
    const index = this.relation.columns.findIndex((column) => column.name === name);
    const position = this.columns.indexOf(index);
    return position < 0 ? undefined : this.get(position);
  }

  /** Name of the column at a position. */
  name(position) {
    return this.relation.columns[this.columns[position]].name;
  }

  /** All cells, as `get`. */
  *[Symbol.iterator]() {
    for (let position = 0; position < this.length; position++) yield this.get(position);
  }

  /** Cells by column name; what was not sent is not in it. */
  toObject() {
    const object = {};
    for (let position = 0; position < this.length; position++) {
      const cell = this.get(position);
      if (cell !== undefined) object[this.name(position)] = cell;
    }
    return object;
  }
}

const OPS = ['insert', 'update', 'delete', 'truncate'];

/** One change; valid during the call it is handed to. Ids, LSNs and times are BigInt. */
export class Change {
  constructor(batch, index, table) {
    this.batch = batch;
    this.index = index;
    this.table = table;
  }

  /** 'insert', 'update', 'delete' or 'truncate'. */
  get op() { return OPS[this.batch.ops[this.index]]; }
  /** The table as it was announced. */
  get relation() { return this.table.relation; }
  /** Unique in the task, rising per shard, the same again on replay. */
  get id() { return this.batch.ids[this.index]; }
  get commitLsn() { return this.batch.commitLsns[this.index]; }
  /** Commit sequence number, comparable between shards; 0n where the source has none. */
  get csn() { return this.batch.csns[this.index]; }
  get xid() { return this.batch.xids[this.index]; }
  /** Microseconds since the Unix epoch, at the source. */
  get commitTime() { return this.batch.commitTimes[this.index]; }
  /** Position of the change in its transaction. */
  get ordinal() { return this.batch.ordinals[this.index]; }
  get shard() { return this.batch.shard; }
  /** The only clock, microseconds since the Unix epoch. */
  get now() { return this.batch.now; }
  /** Whether the source sent a new image, asked for or not. */
  get hasNew() { return (this.batch.marks[this.index] & 1) !== 0; }
  get hasOld() { return (this.batch.marks[this.index] & 2) !== 0; }
  /** Whether the old image has the replica identity's columns only. */
  get oldIsKeyOnly() { return (this.batch.marks[this.index] & 4) !== 0; }

  /** The row after the change; undefined where there is none or the stage did not ask. */
  get newImage() {
    return this.image(this.batch.firstCells[this.index], this.batch.newCells[this.index], this.table.newColumns);
  }

  /** The row before the change. */
  get oldImage() {
    const first = this.batch.firstCells[this.index] + this.batch.newCells[this.index];
    return this.image(first, this.batch.oldCells[this.index], this.table.oldColumns);
  }

  /** The row the change is about: the new image, or the old one on delete. */
  get row() { return this.newImage ?? this.oldImage; }

  image(first, length, columns) {
    return length === 0 ? undefined : new Image(this.batch, first, length, this.relation, columns);
  }
}
