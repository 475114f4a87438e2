// Counters of the module's own among the gateway's metrics. A module that imports this file is built with `--grant counter` and is loaded
// only where the task grants it: grants = ["counter"].
import { add } from 'millrace:transform/counter@1.0.0';

/** Adds to a counter, made at its first use; `name`: 1 to 64 of a-z 0-9 _. */
export const count = (name, by = 1) => add(name, BigInt(by));
