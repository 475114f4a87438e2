"""Reading a batch: tables, changes, images, cells. Knows the packing of the contract's batch and nothing of any stage."""

from wit_world.imports import types

_END = (1 << 30) - 1
_UNSENT = 1 << 30
_NULL = 1 << 31


class Fault(Exception):
    """What stops one change; its neighbours are unharmed. Any other exception of a change does the same, with its place in the text."""


class Unsent:
    """The one value UNSENT: what the source did not send, an unchanged large value or a column outside a key-only old image."""

    def __repr__(self) -> str:
        return "UNSENT"

    def __bool__(self) -> bool:
        return False


UNSENT = Unsent()


def key_of(relation: types.Relation) -> list[int]:
    """Column indexes of the primary key in key order; empty without one."""
    key = [index for index, column in enumerate(relation.columns) if column.key_position > 0]
    return sorted(key, key=lambda index: relation.columns[index].key_position)


def column_of(relation: types.Relation, name: str) -> int | None:
    """Index of a column by name."""
    return next((index for index, column in enumerate(relation.columns) if column.name == name), None)


def columns_of(selection: types.Selection, relation: types.Relation) -> list[int]:
    """The column indexes a selection stands for, in the order its cells have."""
    match selection:
        case types.Selection_Key():
            return key_of(relation)
        case types.Selection_Listed(columns):
            return list(columns)
        case types.Selection_All():
            return list(range(len(relation.columns)))
    return []


class Image:
    """One image of a row: the cells the stage asked for."""

    __slots__ = ("_batch", "_first", "_length", "relation", "columns")

    def __init__(self, batch: types.Batch, first: int, length: int, relation: types.Relation, columns: list[int]):
        self._batch, self._first, self._length = batch, first, length
        self.relation, self.columns = relation, columns

    def __len__(self) -> int:
        return self._length

    def bytes(self, position: int) -> "bytes | None | Unsent":
        """Raw bytes of the cell at a position of the interest; None for SQL NULL; UNSENT for what was not sent."""
        if position >= self._length:
            return UNSENT
        ends, at = self._batch.ends, self._first + position
        end = ends[at]
        if end & _NULL:
            return None
        if end & _UNSENT:
            return UNSENT
        return self._batch.data[(ends[at - 1] & _END if at else 0) : end]

    def get(self, position: int) -> "str | None | Unsent":
        """The cell as text; None for SQL NULL; UNSENT for what was not sent. Not UTF-8: a fault that names the column."""
        cell = self.bytes(position)
        if cell is None or cell is UNSENT:
            return cell
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise Fault(f"{self.name(position)}: not UTF-8") from None

    def named(self, name: str) -> "str | None | Unsent":
        """The cell of the column of this name; UNSENT also where the interest left it out."""
        index = column_of(self.relation, name)
        return self.get(self.columns.index(index)) if index in self.columns else UNSENT

    def name(self, position: int) -> str:
        """Name of the column at a position."""
        return self.relation.columns[self.columns[position]].name

    def __iter__(self):
        return (self.get(position) for position in range(self._length))

    def to_dict(self) -> dict[str, str | None]:
        """Cells by column name; what was not sent is not in it."""
        cells = ((self.name(position), self.get(position)) for position in range(self._length))
        return {name: cell for name, cell in cells if cell is not UNSENT}


_OPS = ("insert", "update", "delete", "truncate")


class Table:
    """A table as it was announced, with what the module wants back."""

    __slots__ = ("relation", "data", "written", "new_columns", "old_columns")

    def __init__(self, relation: types.Relation, reads: types.Interest, data, written: int):
        self.relation, self.data, self.written = relation, data, written
        self.new_columns, self.old_columns = columns_of(reads.new, relation), columns_of(reads.old, relation)


class Change:
    """One change; valid during the call it is handed to."""

    __slots__ = ("_batch", "_index", "_table")

    def __init__(self, batch: types.Batch, index: int, table: Table):
        self._batch, self._index, self._table = batch, index, table

    @property
    def op(self) -> str:
        """"insert", "update", "delete" or "truncate"."""
        return _OPS[self._batch.ops[self._index]]

    @property
    def relation(self) -> types.Relation:
        """The table as it was announced."""
        return self._table.relation

    @property
    def id(self) -> int:
        """Unique in the task, rising per shard, the same again on replay."""
        return self._batch.ids[self._index]

    @property
    def commit_lsn(self) -> int:
        """LSN of the commit of the change's transaction."""
        return self._batch.commit_lsns[self._index]

    @property
    def csn(self) -> int:
        """Commit sequence number, comparable between shards; 0 where the source has none."""
        return self._batch.csns[self._index]

    @property
    def xid(self) -> int:
        """Transaction number at the source."""
        return self._batch.xids[self._index]

    @property
    def commit_time(self) -> int:
        """Microseconds since the Unix epoch, at the source."""
        return self._batch.commit_times[self._index]

    @property
    def ordinal(self) -> int:
        """Position of the change in its transaction."""
        return self._batch.ordinals[self._index]

    @property
    def shard(self) -> int:
        """The stream the change came from."""
        return self._batch.shard

    @property
    def now(self) -> int:
        """The only clock, microseconds since the Unix epoch."""
        return self._batch.now

    @property
    def has_new(self) -> bool:
        """Whether the source sent a new image, asked for or not."""
        return self._batch.marks[self._index] & 1 != 0

    @property
    def has_old(self) -> bool:
        """Whether the source sent an old image, asked for or not."""
        return self._batch.marks[self._index] & 2 != 0

    @property
    def old_is_key_only(self) -> bool:
        """Whether the old image has the replica identity's columns only."""
        return self._batch.marks[self._index] & 4 != 0

    @property
    def new_image(self) -> Image | None:
        """The row after the change; None where there is none or the stage did not ask."""
        first, length = self._batch.first_cells[self._index], self._batch.new_cells[self._index]
        return Image(self._batch, first, length, self.relation, self._table.new_columns) if length else None

    @property
    def old_image(self) -> Image | None:
        """The row before the change."""
        first, length = self._batch.first_cells[self._index], self._batch.old_cells[self._index]
        first += self._batch.new_cells[self._index]
        return Image(self._batch, first, length, self.relation, self._table.old_columns) if length else None

    @property
    def row(self) -> Image | None:
        """The row the change is about: the new image, or the old one on delete."""
        return self.new_image or self.old_image
