"""python-threshold: keeps the rows whose amount reaches a limit that may differ by currency; exact decimals.

Config: {"amount": "total", "currency": "currency", "limits": {"EUR": "10000.00", "*": "5000"}}. "*" stands for every other currency and
for NULL; a currency without a limit is kept. Tables without both columns pass.
"""

from decimal import Decimal, InvalidOperation

import millrace
from millrace import UNSENT, Fault, both, column_of, keep, listed, per_change

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["amount", "currency", "limits"],
    "properties": {
        "amount": {"type": "string", "description": "column of the amount"},
        "currency": {"type": "string", "description": "column of the currency"},
        "limits": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "per currency the least amount that goes on, as a decimal string; * for all others",
        },
    },
}

Describe = millrace.describe("python-threshold", "1.0.0", SCHEMA)


class Filter(millrace.Filter):
    def setup(self, config):
        for name in config:
            if name not in SCHEMA["properties"]:
                raise Fault(f"{name}: unknown setting")
        for name in ("amount", "currency"):
            if not isinstance(config.get(name), str):
                raise Fault(f"{name}: must be a string")
        self.amount, self.currency = config["amount"], config["currency"]
        limits = config.get("limits")
        if not isinstance(limits, dict):
            raise Fault("limits: must be an object")
        self.limits = {currency: self.limit(currency, text) for currency, text in limits.items()}

    @staticmethod
    def limit(currency, text):
        # A string, so that nothing of it is lost on the way: 0.1 has no exact float.
        if not isinstance(text, str) or not millrace.is_json_number(text):
            raise Fault(f"limits.{currency}: must be a decimal number in quotes")
        return Decimal(text)

    def plan(self, table):
        amount, currency = column_of(table, self.amount), column_of(table, self.currency)
        if amount is None or currency is None:
            return keep
        return per_change(both(listed(amount, currency)))

    def keep(self, change, data):
        row = change.row
        if row is None:
            return True
        amount, currency = row
        if amount is UNSENT or currency is UNSENT:
            raise Fault(f"{self.amount} or {self.currency}: not sent by the source")
        if amount is None:
            return False
        limit = self.limits.get(currency, self.limits.get("*"))
        try:
            value = Decimal(amount)
        except InvalidOperation:
            raise Fault(f"{self.amount}: not a decimal number") from None
        # NaN reaches no limit.
        return limit is None or (not value.is_nan() and value >= limit)
