"""The file of maintenance windows, as it is now.

It is read again when it has changed, so that a window can be added while remediations are in progress.
"""

from __future__ import annotations

from pathlib import Path

from activities.changing_file import ChangingFile
from runbooks.errors import ParamedicError
from runbooks.language.findings import RunbookErrors
from runbooks.language.windows import parse_windows
from runbooks.model.window import Window


class WindowsError(ParamedicError):
    """The file of windows cannot be used.  The message says where it is wrong, and what would be right."""

    code = "windows_wrong"


class WindowsFile:
    """Reads windows.

    Args:
        file: None where the installation has no windows.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = ChangingFile(file, self._parse) if file else None

    def read(self) -> tuple[Window, ...]:
        """Return all windows, open or not.

        Raises:
            WindowsError: the file is not there, cannot be read or is wrong.
        """
        return self._file.read() if self._file else ()

    @staticmethod
    def _parse(file: Path) -> tuple[Window, ...]:
        try:
            return parse_windows(file.read_text(encoding="utf-8"), file=str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise WindowsError(f"{file}: cannot be read: {error}. PARAMEDIC_WINDOWS names it.") from None
        except RunbookErrors as error:
            raise WindowsError(str(error)) from None
