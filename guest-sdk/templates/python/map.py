"""@NAME@: replaces the text of a column by stars. Config: {"column": "email"}."""

import millrace
from millrace import UNSENT, Fault, both, column_of, listed, rewritten, unchanged

Describe = millrace.describe(
    "@NAME@",
    "0.1.0",
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["column"],
        "properties": {"column": {"type": "string", "description": "its text is replaced by stars"}},
    },
)


class Map(millrace.Map):
    def setup(self, config):
        if not isinstance(config.get("column"), str):
            raise Fault("column: must be a string")
        self.column = config["column"]

    def plan(self, table):
        """The host copies every column but the one whose source is -1: that one `write` gives."""
        index = column_of(table, self.column)
        if index is None:
            return unchanged
        sources = [-1 if i == index else i for i in range(len(table.columns))]
        return rewritten(table, sources, both(listed(index)))

    def write(self, change, image, data):
        """NULL (None) and what the source did not send (UNSENT) stay what they are."""
        cell = image.bytes(0)
        return [cell if cell is None or cell is UNSENT else "***"]
