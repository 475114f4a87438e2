"""@NAME@: a JSON object per row; no config."""

import json

import millrace
from millrace import Record, all_columns, both

Describe = millrace.describe("@NAME@", "0.1.0", {"type": "object", "additionalProperties": False})


class Format(millrace.Format):
    def plan(self, table):
        return both(all_columns)

    def format(self, change, data):
        """Cells are text as the database prints it; what was not sent is not in the row. A truncate has no row: no record."""
        if change.row is None:
            return []
        value = {"table": change.relation.table, "op": change.op, "row": change.row.to_dict()}
        return [Record(json.dumps(value, ensure_ascii=False, separators=(",", ":")))]
