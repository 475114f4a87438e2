"""Python kit for Millrace transform modules: the four stages over packed batches.

    import millrace
    from millrace import both, listed, per_change

    Describe = millrace.describe("big-orders", "1.0.0", {"type": "object"})

    class Filter(millrace.Filter):
        def setup(self, config): ...
        def plan(self, table): return per_change(both(listed(0)))
        def keep(self, change, data): return change.row.get(0) is not None

`setup` gets the config as a dict; `plan` returns the plan, or a pair of it and what it wants back as `data` with each change of the
table. An exception from either stops the task with its text; from one change it is that change's fault, what was written for it is
taken back, and its neighbours go on.
"""

import json
from importlib import import_module

from componentize_py_types import Err
from wit_world.imports import log as _log
from wit_world.imports import types

from millrace_change import UNSENT, Change, Fault, Image, Table, column_of, key_of
from millrace_values import binary, boolean, is_json_number, timestamp, whole_number

__all__ = [
    "UNSENT", "Change", "Fault", "Filter", "Format", "Image", "Map", "Record", "Route", "Schema", "all_columns", "binary", "boolean", "both",
    "by_columns", "column_of", "describe", "drop", "is_json_number", "keep", "key_columns", "key_of", "listed", "log", "nothing",
    "per_change", "reading", "rewritten", "timestamp", "to_hash_of", "to_number", "types", "unchanged", "whole_number",
]  # fmt: skip


def _interface(name: str):
    # Only the stages of the module's own world are there. All is imported before the snapshot: a component has no files.
    try:
        return import_module(f"wit_world.exports.{name}")
    except ImportError:
        return None


_describe, _filter, _map, _route, _format = (_interface(name) for name in ("describe", "filter", "map", "route", "format"))

_NOT_SENT = 1 << 30
_NULL = 1 << 31

nothing = types.Selection_Nothing()
key_columns = types.Selection_Key()
all_columns = types.Selection_All()


def listed(*columns: int) -> types.Selection:
    """These columns by index, in this order."""
    return types.Selection_Listed(list(columns))


def both(selection: types.Selection) -> types.Interest:
    """The same selection of both images."""
    return types.Interest(selection, selection)


# Filter plans.
keep = ("keep",)
drop = ("drop",)
# Map plan.
unchanged = ("unchanged",)


def per_change(reads: types.Interest):
    """Plan of a filter or a router: every change is asked for, with these cells."""
    return ("per_change", reads)


def rewritten(after: types.Relation, sources: list[int], reads: types.Interest, may_drop: bool = False):
    """Map plan. `sources`: per column of `after` the column the host copies it from, or -1: `write` gives it."""
    return _map.Plan_Rewritten(_map.Rewrite(after, sources, reads, may_drop))


def to_number(topic: str, partition: int):
    """Route plan: one partition."""
    return _route.Plan_Fixed(_route.Target(topic, _route.Partition_Number(partition)))


def to_hash_of(topic: str, text: str | bytes):
    """Route plan: one partition, by these bytes."""
    return _route.Plan_Fixed(_route.Target(topic, _route.Partition_HashOf(_encoded(text))))


def by_columns(topic: str, columns: list[int]):
    """Route plan: by the text of these columns."""
    return _route.Plan_ByColumns(_route.Hashed(topic, columns))


class log:
    """Messages to the gateway's log; the host limits their rate."""

    error = staticmethod(lambda message: _log.log(0, message))
    warn = staticmethod(lambda message: _log.log(1, message))
    info = staticmethod(lambda message: _log.log(2, message))
    debug = staticmethod(lambda message: _log.log(3, message))


def describe(name: str, version: str, config_schema, stateful: bool = False):
    """What the component is; assign it to `Describe`."""
    schema = config_schema if isinstance(config_schema, str) else json.dumps(config_schema)

    class Describe:
        def about(self):
            return _describe.Module(name, version, schema, stateful)

    return Describe


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else bytes(text)


def _message(error: Exception) -> str:
    if isinstance(error, Fault):
        return str(error)
    # A slip in the module: say where.
    # `traceback` would look for the source file, and there are no files.
    place = error.__traceback__
    while place.tb_next:
        place = place.tb_next
    file = place.tb_frame.f_code.co_filename.rsplit("/", 1)[-1]
    return f"{type(error).__name__}: {error} at {file}:{place.tb_lineno}"


class _Stage:
    """What the stages share: settings, announced tables, and the loop over changes."""

    _tables: dict[int, Table]

    def __new__(cls):
        # The toolchain makes an object for every call; a stage is one object for the life of its instance.
        stage = cls.__dict__.get("_only")
        if stage is None:
            stage = cls._only = super().__new__(cls)
            stage._tables = {}
        return stage

    def setup(self, config: dict) -> None:
        """Takes the config; raise Fault("PATH: rule") where it is wrong."""

    def plan(self, table: types.Relation):
        """Decides for a table what can be decided once."""
        raise NotImplementedError

    def init(self, config: str) -> None:
        """Called by the host."""
        try:
            try:
                settings = json.loads(config) if config.strip() else {}
            except ValueError:
                settings = None
            if not isinstance(settings, dict):
                raise Fault("config: not a JSON object")
            self.setup(settings)
        except Exception as error:
            raise Err(_message(error)) from None

    def announce(self, relation: types.Relation):
        """Called by the host."""
        try:
            plan = self.plan(relation)
            data = None
            if isinstance(plan, tuple) and plan and not isinstance(plan[0], str):
                plan, data = plan
            plan, reads, written = self._checked(plan)
            self._tables[relation.id] = Table(relation, reads, data, written)
            return plan
        except Exception as error:
            raise Err(_message(error)) from None

    def _each(self, batch: types.Batch, faults: list, each, undo=None) -> None:
        for index, relation in enumerate(batch.relations):
            try:
                table = self._tables.get(relation)
                if table is None:
                    raise Fault(f"relation {relation} was not announced to this stage")
                if batch.ops[index] > 3:
                    raise Fault(f"operation {batch.ops[index]} is newer than this module")
                each(index, Change(batch, index, table), table)
            except Exception as error:
                if undo:
                    undo(index)
                faults.append(types.Fault(index, _message(error)))


_NOTHING = both(nothing)


class Filter(_Stage):
    """Which changes go on."""

    def keep(self, change: Change, data) -> bool:
        """Whether one change goes on."""
        raise NotImplementedError

    def _checked(self, plan):
        match plan:
            case ("keep",):
                return _filter.Plan_Keep(), _NOTHING, 0
            case ("drop",):
                return _filter.Plan_Drop(), _NOTHING, 0
            case ("per_change", reads):
                return _filter.Plan_PerChange(reads), reads, 0
        raise Fault("plan: neither keep, drop nor per_change(...)")

    def process(self, batch: types.Batch):
        """Called by the host."""
        bits, faults = bytearray((len(batch.ops) + 7) // 8), []

        def each(index, change, table):
            if self.keep(change, table.data):
                bits[index // 8] |= 1 << index % 8

        self._each(batch, faults, each)
        return _filter.Verdicts(bytes(bits), faults)


class Map(_Stage):
    """What changes look like behind this stage."""

    def keep(self, change: Change, data) -> bool:
        """Whether one change goes on; asked where the plan has may_drop or a written column."""
        return True

    def write(self, change: Change, image: Image, data) -> list:
        """The written cells of one image: text or bytes, None for SQL NULL, UNSENT for what is not known."""
        raise NotImplementedError

    def _checked(self, plan):
        if plan == unchanged:
            return _map.Plan_Unchanged(), _NOTHING, 0
        return plan, plan.value.reads, sum(source < 0 for source in plan.value.sources)

    def process(self, batch: types.Batch):
        """Called by the host."""
        data, ends, dropped, faults = bytearray(), [], [], []

        def each(index, change, table):
            if not self.keep(change, table.data):
                dropped.append(index)
                return
            # Encoded whole before anything is written, so that there is nothing to take back.
            written = []
            for sent, image in ((change.has_new, change.new_image), (change.has_old, change.old_image)):
                if not table.written or not sent:
                    continue
                cells = self.write(change, image, table.data)
                if len(cells) != table.written:
                    raise Fault(f"the module wrote {len(cells)} cells of an image, its plan has {table.written}")
                written += [cell if cell is None or cell is UNSENT else _encoded(cell) for cell in cells]
            for cell in written:
                if cell is None:
                    ends.append(len(data) | _NULL)
                elif cell is UNSENT:
                    ends.append(len(data) | _NOT_SENT)
                else:
                    data.extend(cell)
                    ends.append(len(data))

        self._each(batch, faults, each)
        return _map.Mapped(bytes(data), ends, dropped, faults)


class Route(_Stage):
    """Where the record of a change goes."""

    def route(self, change: Change, data) -> tuple[str, int | str | bytes]:
        """Topic, and the number of the partition or the text whose hash names it (which is the record key, too)."""
        raise NotImplementedError

    def _checked(self, plan):
        if isinstance(plan, tuple):
            return _route.Plan_PerChange(plan[1]), plan[1], 0
        return plan, _NOTHING, 0

    def process(self, batch: types.Batch):
        """Called by the host."""
        topics, arena, topic_of, partitions, hash_ends, faults = {}, bytearray(), [], [], [], []

        def fill(topic, partition):
            topic_of.append(topics.setdefault(topic, len(topics)))
            partitions.append(partition)
            hash_ends.append(len(arena))

        def each(_, change, table):
            topic, partition = self.route(change, table.data)
            if not isinstance(topic, str):
                raise Fault("the module gave no topic")
            if not isinstance(partition, int):
                arena.extend(_encoded(partition))
                fill(topic, -1)
            elif 0 <= partition < 2**31:
                fill(topic, partition)
            else:
                raise Fault("the module gave a partition number that Kafka does not have")

        # What stands at a fault is ignored, but the lists keep one element per change.
        self._each(batch, faults, each, lambda _: fill("", 0))
        return _route.Routes(list(topics), bytes(arena), topic_of, partitions, hash_ends, faults)


class Record:
    """A record. `key`: text or bytes, None for none, HASHED for what the router hashed. `value`: text or bytes, None for a tombstone."""

    HASHED = object()
    __slots__ = ("key", "value", "topic", "headers")

    def __init__(self, value, key=HASHED, topic: str | None = None, headers=()):
        self.key = key if key is None or key is Record.HASHED else _encoded(key)
        self.value = None if value is None else _encoded(value)
        self.topic, self.headers = topic, [(name, _encoded(text)) for name, text in headers]


class Schema:
    """The schema of what a format writes. `language`: "avro", "json" or "protobuf"; `name`: the full name; `text`: the schema itself."""

    __slots__ = ("language", "name", "text")

    def __init__(self, language: str, name: str, text: str):
        self.language, self.name, self.text = language, name, text


def _schema(schema: Schema | None):
    return schema and _format.Schema(_format.SchemaLanguage[schema.language.upper()], schema.name, schema.text)


def reading(reads: types.Interest, key_schema: Schema | None = None, value_schema: Schema | None = None):
    """Format plan: what the stage reads, and the schemas of what it writes."""
    return _format.Plan(reads, _schema(key_schema), _schema(value_schema))


class Format(_Stage):
    """What the records of a change are. `plan` gives what the stage reads, an interest, or `reading(...)` with schemas."""

    def format(self, change: Change, data) -> list[Record]:
        """The records of one change, in order; none drops it."""
        raise NotImplementedError

    def _checked(self, plan):
        if isinstance(plan, types.Interest):
            plan = _format.Plan(plan, None, None)
        return plan, plan.reads, 0

    def process(self, batch: types.Batch):
        """Called by the host."""
        arena, marks, faults, topics = bytearray(), bytearray(), [], {}
        changes, key_ends, value_ends, topic_of = [], [], [], []
        names, header_arena, record_of, name_of, header_ends = {}, bytearray(), [], [], []

        def each(index, change, table):
            # Built whole before anything is written, so that there is nothing to take back.
            for record in list(self.format(change, table.data)):
                for name, text in record.headers:
                    record_of.append(len(changes))
                    name_of.append(names.setdefault(name, len(names)))
                    header_arena.extend(text)
                    header_ends.append(len(header_arena))
                changes.append(index)
                if isinstance(record.key, bytes):
                    arena.extend(record.key)
                key_ends.append(len(arena))
                arena.extend(record.value or b"")
                value_ends.append(len(arena))
                topic_of.append(-1 if record.topic is None else topics.setdefault(record.topic, len(topics)))
                marks.append((record.key is None) | (record.value is None) << 1 | (record.key is Record.HASHED) << 2)

        self._each(batch, faults, each)
        headers = _format.Headers(list(names), bytes(header_arena), record_of, name_of, header_ends)
        return _format.Records(
            bytes(arena), changes, key_ends, value_ends, topic_of, bytes(marks), list(topics), headers, faults
        )
