"""The reference module in Python: does what ../README.md says, and gives the answers in ../golden."""

import base64
import json
from dataclasses import replace

import millrace
from millrace_counter import count
from millrace import (
    UNSENT, Fault, Record, all_columns, both, by_columns, column_of, key_of, listed, log, per_change, rewritten, to_hash_of, to_number,
)  # fmt: skip

Describe = millrace.describe("conformance", "1.0.0", {"type": "object"})


def known(config, *names):
    for name in config:
        if name not in names:
            raise Fault(f"{name}: unknown")


def names_in(config, name):
    names = config.get(name, [])
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise Fault(f"{name}: not a list of strings")
    return names


def full_name(table):
    return f"{table.schema}.{table.table}"


class Filter(millrace.Filter):
    """Rows whose amount is at least min."""

    def setup(self, config):
        known(config, "min")
        if "min" not in config:
            raise Fault("min: missing")
        self.min = config["min"]
        if type(self.min) is not int or not -(2**63) <= self.min < 2**63:
            raise Fault("min: not a whole number")
        log.info(f"filter: min {self.min}")

    def plan(self, table):
        if table.schema == "refused":
            raise Fault(f"{full_name(table)}: refused")
        if table.schema == "hidden":
            return millrace.drop
        amount = column_of(table, "amount")
        return millrace.keep if amount is None else per_change(both(listed(amount)))

    def keep(self, change, data):
        row = change.row
        count("seen")
        # A truncate has no row.
        if row is None:
            return True
        cell = row.bytes(0)
        if cell is None:
            return False
        if cell is UNSENT:
            raise Fault("amount: not sent by the source")
        amount = millrace.whole_number(cell.decode("latin-1"))
        if amount is None:
            raise Fault("amount: not a whole number")
        return amount >= self.min


class Map(millrace.Map):
    """Columns masked, renamed and dropped."""

    def setup(self, config):
        known(config, "mask", "drop", "rename")
        self.rename = config.get("rename", {})
        if not isinstance(self.rename, dict) or not all(isinstance(to, str) for to in self.rename.values()):
            raise Fault("rename: not an object of strings")
        self.mask, self.drop = names_in(config, "mask"), names_in(config, "drop")

    def plan(self, table):
        columns, sources, masked, changed = [], [], [], False
        for index, column in enumerate(table.columns):
            if column.name in self.drop:
                changed = True
                continue
            name = column.name
            mask = name in self.mask
            if mask:
                masked.append(index)
                column = replace(column, type_name="text", type_oid=25, jdbc_type=12)
            if name in self.rename:
                changed = True
                column = replace(column, name=self.rename[name])
            columns.append(column)
            sources.append(-1 if mask else index)
        if not changed and not masked:
            return millrace.unchanged
        return rewritten(replace(table, columns=columns), sources, both(listed(*masked)), bool(masked))

    def keep(self, change, data):
        row = change.row
        return row is None or all(row.bytes(i) != b"drop me" for i in range(len(row)))

    def write(self, change, image, data):
        # `get` makes sure that a cell is UTF-8.
        return [f"***{len(cell.encode())}" if isinstance(cell, str) else cell for cell in image]


class Route(millrace.Route):
    """By the value of region, else by the key, else by the table."""

    def setup(self, config):
        known(config, "topic")
        if "topic" not in config:
            raise Fault("topic: missing")
        self.topic = config["topic"]
        if not isinstance(self.topic, str):
            raise Fault("topic: not a string")

    def plan(self, table):
        region, key = column_of(table, "region"), key_of(table)
        if table.schema == "pinned":
            return to_number(self.topic, 3)
        if region is not None:
            return per_change(both(listed(region))), full_name(table)
        return by_columns(self.topic, key) if key else to_hash_of(self.topic, full_name(table))

    def route(self, change, data):
        row = change.row
        if row is None:
            return self.topic, data
        region = row.get(0)
        if region is None:
            return self.topic, 0
        if region is UNSENT:
            raise Fault("region: not sent by the source")
        if region == "":
            raise Fault("region: empty")
        return f"{self.topic}.{region}", region


def quoted(text):
    return json.dumps(text, ensure_ascii=False)


def typed(column, text):
    def checked(value, why):
        if value is None:
            raise Fault(f"{column.name}: {why}")
        return value

    match column.jdbc_type:
        case -6 | 5 | 4 | -5:
            checked(millrace.whole_number(text), "not a whole number")
            return text
        case 2 | 3 | 7 | 8 if millrace.is_json_number(text):
            return text
        case 16:
            return "true" if checked(millrace.boolean(text), "not a boolean") else "false"
        case -2:
            return f'"{base64.b64encode(checked(millrace.binary(text), "not hexadecimal")).decode()}"'
        case 93:
            micros = millrace.timestamp(text)
            return quoted(text) if micros is None else str(micros)
    return quoted(text)


def whole(image):
    if image is None:
        return "null"
    cells = [(column, cell) for column, cell in zip(image.relation.columns, image) if cell is not UNSENT]
    return "{" + ",".join(f"{quoted(c.name)}:{'null' if cell is None else typed(c, cell)}" for c, cell in cells) + "}"


class Format(millrace.Format):
    """JSON with a value for each type."""

    def setup(self, config):
        known(config, "audit", "schema")
        self.schema = config.get("schema") is True
        self.audit = names_in(config, "audit")
        log.info("format: ready")

    def plan(self, table):
        schema = millrace.Schema("json", full_name(table), '{"type":"object"}') if self.schema else None
        return millrace.reading(both(all_columns), value_schema=schema), (full_name(table), key_of(table))

    def format(self, change, data):
        (name, key), op, image = data, change.op, change.new_image
        if op == "truncate":
            return []
        headers, record_key = [("op", op)], Record.HASHED
        if op == "update":
            headers.append(("xid", str(change.xid)))
            parts = [image.get(column) for column in key]
            record_key = "/".join(parts) if parts and all(isinstance(part, str) for part in parts) else None
        columns = change.relation.columns
        unsent = [c.name for i, c in enumerate(columns) if image.bytes(i) is UNSENT] if image else []
        value = (
            f'{{"op":"{op}","table":{quoted(name)},"id":{change.id},"commit_lsn":{change.commit_lsn},"csn":{change.csn},"xid":{change.xid},'
            f'"ordinal":{change.ordinal},"shard":{change.shard},"commit_time":{change.commit_time},"now":{change.now},'
            f'"new":{whole(image)},"old":{whole(change.old_image)}'
        )
        if unsent:
            value += ',"unsent":[' + ",".join(quoted(name) for name in unsent) + "]"
        value += ',"key_only":true}' if change.old_is_key_only else "}"
        records = [Record(value, record_key, headers=headers)]
        if op == "delete":
            records.append(Record(None, headers=headers))
        if change.relation.table in self.audit:
            records.append(Record(f'{{"id":{change.id}}}', None, "audit"))
        return records
