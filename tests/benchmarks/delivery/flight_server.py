"""An Arrow Flight server that sends as many bytes as it is asked for, in record batches that were made before.

A ticket is JSON: `batches`, and the `columns` and `rows` of each, 64-bit floats.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pyarrow as pa
from pyarrow import flight

_DISTINCT_BYTES = 512 * 1024 * 1024
"""Of distinct batches, at most: one that is sent again and again is in the processor's cache."""


class Server(flight.FlightServerBase):  # type: ignore[misc] # pyarrow has no types
    """Answers `do_get`."""

    def do_get(self, _context: object, ticket: flight.Ticket) -> flight.RecordBatchStream:
        """The batches that the ticket asks for."""
        asked = json.loads(ticket.ticket)
        columns, rows = asked["columns"], asked["rows"]
        distinct = max(1, _DISTINCT_BYTES // (8 * columns * rows))
        batches = [_batch(columns, rows, number % distinct) for number in range(asked["batches"])]
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(batches[0].schema, batches))


@cache
def _batch(columns: int, rows: int, number: int) -> pa.RecordBatch:
    values = np.arange(rows, dtype=np.float64) + number
    return pa.record_batch({f"column_{column}": values + column for column in range(columns)})


if __name__ == "__main__":
    with Server("grpc://127.0.0.1:0") as server:
        print(json.dumps({"address": f"grpc://127.0.0.1:{server.port}"}), flush=True)  # noqa: T201
        server.serve()
