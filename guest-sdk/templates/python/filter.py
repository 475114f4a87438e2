"""@NAME@: drops rows where a column is NULL. Config: {"column": "email"}."""

import millrace
from millrace import Fault, both, column_of, keep, listed, per_change

Describe = millrace.describe(
    "@NAME@",
    "0.1.0",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["column"],
        "properties": {"column": {"type": "string", "description": "rows where it is NULL are dropped"}},
    },
)


class Filter(millrace.Filter):
    def setup(self, config):
        if not isinstance(config.get("column"), str):
            raise Fault("column: must be a string")
        self.column = config["column"]

    def plan(self, table):
        """Asked once per table: one without the column needs no call per change."""
        index = column_of(table, self.column)
        return keep if index is None else per_change(both(listed(index)))

    def keep(self, change, data):
        """Asked once per change; the image has the one cell that `plan` asked for. A truncate has no image."""
        return change.row is None or change.row.bytes(0) is not None
