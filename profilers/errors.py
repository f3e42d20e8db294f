"""Errors of measuring. Same shape as `edgeprune.errors`: what happened, and what to do about it."""


class ProfilerError(Exception):
    """Base. `message` says what happened and what was found; `cure` says what to do about it."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message} ({self.cure})" if self.cure else self.message


class RuntimeNotInstalled(ProfilerError):
    """The library that runs this format is not installed, or cannot be loaded."""


class MeasurementError(ProfilerError):
    """A file could not be measured: missing, unreadable, it crashed the runtime, or it hung."""


class StoreError(ProfilerError):
    """The store of measurements cannot be opened, read or written."""


class FarmError(ProfilerError):
    """No cluster where one should be, or this machine is no part of it."""


class DeviceError(ProfilerError):
    """No phone, several phones and no choice, or a phone that does not do what it is asked."""


class ConnectionLost(DeviceError):
    """A phone that was there went away."""


class ScriptFailed(DeviceError):
    """A command on the phone ended with an exit code other than 0: `code`."""

    def __init__(self, message: str, cure: str = "", code: int = 1) -> None:
        super().__init__(message, cure)
        self.code = code
