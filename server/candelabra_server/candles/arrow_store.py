"""ArrowCandleRepository: the embedded store, Arrow files in a folder, read by mapping them into memory.

How a symbol is read:

1. A job takes a snapshot: the present manifest, held by a shared lock on its file (manifest.py).
2. A process that first meets a snapshot maps its segments and loads their indexes (segment.py).
3. Every load is a look-up and a binary search; its columns are views of the mapping (timeframe_view.py).

Importing (store_writer.py) only ever adds files and then replaces the name of the present manifest.
Neither this module nor what it imports needs pyarrow.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import IO, Any, Self
from weakref import WeakValueDictionary

from candelabra_server.candles.manifest import (
    Manifest,
    hold_current,
    is_state,
    read_current_state,
    read_manifest,
)
from candelabra_server.candles.repository import ICandleRepository, StoredSymbol
from candelabra_server.candles.segment import DamagedSegment, MappedSegment, open_segment
from candelabra_server.candles.store_layout import StoreLayout
from candelabra_server.candles.timeframe_view import TimeframeView
from candelabra_server.domain.candles import Candles
from candelabra_server.domain.date_range import DateRange
from candelabra_server.errors import StoreError, TimeframeNotStoredError

__all__ = ["ArrowCandleRepository", "ArrowSnapshot"]

_VIEWS_KEPT = 16
"""How many states of timeframes a process keeps mapped; beyond that the oldest is opened again when needed."""
_SEPARATOR = ":"
_SECONDS_UNTIL_OPENED_AGAIN = 1.0
"""What could not be read may have been restored."""

logger = logging.getLogger(__name__)


class ArrowSnapshot:
    """One state of a timeframe, held by an open, locked file until it is closed.

    Its id is the state's name and the timeframe, so every process can find the state by it.

    Attributes:
        view: the candles of the state.
    """

    def __init__(self, snapshot_id: str, view: TimeframeView, lease: IO[bytes]) -> None:
        self._id = snapshot_id
        self.view = view
        self._lease = lease

    @property
    def id(self) -> str:
        """Names the state."""
        return self._id

    @property
    def symbols(self) -> Sequence[str]:
        """The stored symbols, sorted."""
        return self.view.symbols

    def close(self) -> None:
        """Lets go of the state; its files are removed by a later import."""
        self._lease.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ArrowCandleRepository(ICandleRepository):
    """Reads a store's folder, which need not be there yet: then it is empty until something is imported."""

    def __init__(self, path: str | Path) -> None:
        self._layout = StoreLayout(Path(path).absolute())
        self._lock = threading.Lock()
        self._views: dict[str, TimeframeView] = {}
        self._segments: WeakValueDictionary[str, MappedSegment] = WeakValueDictionary()

    def worker_config(self) -> Mapping[str, Any]:
        """The folder, as an absolute path."""
        return {"type": "arrow", "path": str(self._layout.root)}

    def timeframes(self) -> Mapping[str, int]:
        """How many symbols are stored, by canonical timeframe, shortest first.

        Timeframes that cannot be read are left out, unless none can.
        """
        state, lease = hold_current(self._layout)
        if lease is None:
            return {}
        with lease:
            manifest = read_manifest(self._layout, state)
            counts: dict[str, int] = {}
            failure: StoreError | None = None
            for name in manifest.segments:
                try:
                    counts[name] = len(self._view_of(manifest, name).symbols)
                except StoreError as error:
                    failure = error
                    _warn(name, error.message, "all symbols")
            if failure is not None and not counts:
                raise failure
            return counts

    def snapshot(self, timeframe: str) -> ArrowSnapshot:
        """Opens the present state of a timeframe; the caller closes it."""
        state, lease = hold_current(self._layout)
        if lease is None:
            raise TimeframeNotStoredError(timeframe, [])
        try:
            snapshot_id = _snapshot_id(state, timeframe)
            view = self._views.get(snapshot_id) or self._open_view(state, timeframe)
        except BaseException:
            lease.close()
            raise
        return ArrowSnapshot(snapshot_id, view, lease)

    def list_symbols(self, timeframe: str) -> Sequence[StoredSymbol]:
        """What is stored of a timeframe, sorted by symbol; without symbols that have candles in a damaged file."""
        return self._present_view(timeframe).stored_symbols

    def load(
        self, symbol: str, timeframe: str, date_range: DateRange, *, warm_up_candles: int, snapshot_id: str
    ) -> Candles:
        """The candles of a range, preceded by up to `warm_up_candles` older ones."""
        view = self._view(timeframe, snapshot_id)
        try:
            return view.load(symbol, date_range, warm_up_candles)
        except StoreError:
            self._open_again(view)
            raise

    def load_last(
        self,
        symbol: str,
        timeframe: str,
        end_micros: int,
        *,
        warm_up_candles: int,
        fields: Collection[str],
        snapshot_id: str,
    ) -> Candles:
        """The last candle up to a time, preceded by up to `warm_up_candles` older ones."""
        view = self._view(timeframe, snapshot_id)
        try:
            return view.load_last(symbol, end_micros, warm_up_candles, fields)
        except StoreError:
            self._open_again(view)
            raise

    def _view(self, timeframe: str, snapshot_id: str) -> TimeframeView:
        if not snapshot_id:
            return self._present_view(timeframe)
        view = self._views.get(snapshot_id) or self._open_view(_state(snapshot_id, timeframe), timeframe)
        if view.timeframe != timeframe:
            raise _foreign_snapshot(snapshot_id, timeframe)
        return view

    def _present_view(self, timeframe: str) -> TimeframeView:
        view = self._views.get(_snapshot_id(read_current_state(self._layout), timeframe))
        if view is None:
            with self.snapshot(timeframe) as snapshot:
                view = snapshot.view
        return view

    def _open_view(self, state: str, timeframe: str) -> TimeframeView:
        return self._view_of(read_manifest(self._layout, state), timeframe)

    def _view_of(self, manifest: Manifest, timeframe: str) -> TimeframeView:
        names = manifest.segments.get(timeframe)
        if not names:
            raise TimeframeNotStoredError(timeframe, list(manifest.segments))
        snapshot_id = _snapshot_id(manifest.state, timeframe)
        with self._lock:
            view = self._views.get(snapshot_id)
            if view is None:
                opened = [self._segment(name) for name in names]
                damaged = [segment for segment in opened if isinstance(segment, DamagedSegment)]
                for segment in damaged:
                    _warn(timeframe, segment.fault, f"{len(segment.symbols):,} symbols")
                if len(damaged) == len(opened):
                    raise StoreError(damaged[0].fault)
                view = TimeframeView(
                    timeframe, [segment for segment in opened if isinstance(segment, MappedSegment)], damaged
                )
                self._forget_views()
                self._views[snapshot_id] = view
            return view

    def _segment(self, name: str) -> MappedSegment | DamagedSegment:
        kept = self._segments.get(name)
        if kept is not None and not kept.fault():
            return kept
        segment = open_segment(self._layout, name)
        if isinstance(segment, MappedSegment):
            self._segments[name] = segment
        return segment

    def _open_again(self, view: TimeframeView) -> None:
        """Forgets a view that could not read something, so that the next load opens it anew; at most once a second."""
        if monotonic() < view.opened_at + _SECONDS_UNTIL_OPENED_AGAIN:
            return
        with self._lock:
            for snapshot_id in [name for name, kept in self._views.items() if kept is view]:
                del self._views[snapshot_id]

    def _forget_views(self) -> None:
        """Unmaps states that nobody holds any more, and the oldest ones when there are too many."""
        for snapshot_id in list(self._views):
            state = snapshot_id.partition(_SEPARATOR)[0]
            if len(self._views) >= _VIEWS_KEPT or not self._layout.manifest(state).exists():
                self._views.pop(snapshot_id, None)


def _snapshot_id(state: str, timeframe: str) -> str:
    return f"{state}{_SEPARATOR}{timeframe}"


def _state(snapshot_id: str, timeframe: str) -> str:
    state, _, name = snapshot_id.partition(_SEPARATOR)
    if name != timeframe or not is_state(state):
        raise _foreign_snapshot(snapshot_id, timeframe)
    return state


def _warn(timeframe: str, fault: str, touched: str) -> None:
    logger.warning("%s; %s of %s cannot be read: see candelabra-server check-store", fault, touched, timeframe)


def _foreign_snapshot(snapshot_id: str, timeframe: str) -> StoreError:
    return StoreError(f"{snapshot_id[:40]!r} is not a snapshot of timeframe {timeframe} in this candle store")
