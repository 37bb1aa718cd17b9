"""An Arrow Flight server that sends as many bytes as it is asked for, in record batches that were made before.

A ticket is JSON: `batches`, and the `columns` and `rows` of each, 64-bit floats.
"""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pyarrow as pa
from pyarrow import flight


class Server(flight.FlightServerBase):  # type: ignore[misc] # pyarrow has no types
    """Answers `do_get`."""

    def do_get(self, _context: object, ticket: flight.Ticket) -> flight.RecordBatchStream:
        """The batches that the ticket asks for."""
        asked = json.loads(ticket.ticket)
        batch = _batch(asked["columns"], asked["rows"])
        return flight.RecordBatchStream(pa.RecordBatchReader.from_batches(batch.schema, [batch] * asked["batches"]))


@cache
def _batch(columns: int, rows: int) -> pa.RecordBatch:
    values = np.arange(rows, dtype=np.float64)
    return pa.record_batch({f"column_{number}": values + number for number in range(columns)})


if __name__ == "__main__":
    with Server("grpc://127.0.0.1:0") as server:
        print(json.dumps({"address": f"grpc://127.0.0.1:{server.port}"}), flush=True)  # noqa: T201
        server.serve()
