"""How long a device is at work."""

from __future__ import annotations

from threading import Lock
from time import perf_counter
from types import TracebackType
from uuid import uuid4

from napari_seamless.interfaces import DeviceTime


class DeviceClock:
    """The lock of a device, which counts how long it is held. Any thread."""

    def __init__(self) -> None:
        self._name = uuid4().hex
        self._device = Lock()
        self._counting = Lock()
        self._since = self._seconds = 0.0

    def __enter__(self) -> None:
        self._device.acquire()
        self._since = perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._counting:
            self._seconds += perf_counter() - self._since
        self._device.release()

    def take_device_time(self) -> DeviceTime:
        """As `interfaces.TimedEngine.take_device_time`."""
        with self._counting:
            seconds, self._seconds = self._seconds, 0.0
        return DeviceTime(self._name, seconds)
