"""@NAME@: one topic, the partition by the text of a column. Config: {"topic": "orders", "column": "region"}."""

import millrace
from millrace import UNSENT, Fault, both, column_of, listed, per_change, to_hash_of

Describe = millrace.describe(
    "@NAME@",
    "0.1.0",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["topic", "column"],
        "properties": {
            "topic": {"type": "string"},
            "column": {"type": "string", "description": "its text decides the partition"},
        },
    },
)


class Route(millrace.Route):
    def setup(self, config):
        for name in ("topic", "column"):
            if not isinstance(config.get(name), str):
                raise Fault(f"{name}: must be a string")
        self.topic, self.column = config["topic"], config["column"]

    def plan(self, table):
        """A table without the column goes to one partition, the hash of its name; no call per change is needed for that."""
        index = column_of(table, self.column)
        return to_hash_of(self.topic, table.table) if index is None else per_change(both(listed(index)))

    def route(self, change, data):
        """Bytes decide the partition and are the record key, unless the format gives another."""
        if change.row is None:
            return self.topic, 0
        cell = change.row.bytes(0)
        if cell is UNSENT:
            raise Fault(f"{self.column}: not sent by the source")
        return self.topic, 0 if cell is None else cell
