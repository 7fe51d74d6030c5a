"""Makes the blocking client of the one for asyncio: ``python make_sync.py`` writes it, ``--check``
tells whether it is as it should be.

What must stay true: the two differ in nothing but waiting, so only ``_async`` is written by hand.
"""

import re
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "src" / "qadom"
WORDS = [
    (r"\basync def ", "def "),
    (r"\basync with ", "with "),
    (r"\basync for ", "for "),
    (r"\bawait ", ""),
    (r"__aenter__", "__enter__"),
    (r"__aexit__", "__exit__"),
    (r"__aiter__", "__iter__"),
    (r"\baiter_", "iter_"),
    (r"\baread\b", "read"),
    (r"\baclose\b", "close"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bhttpx\.Async", "httpx."),
    (r"``async with``", "``with``"),
    (r"for asyncio", "that blocks"),
]


def made(text: str) -> str:
    """The blocking form of a source."""
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def main() -> int:
    stale = []
    for source in sorted((SOURCE / "_async").glob("*.py")):
        target = SOURCE / "_sync" / source.name
        text = made(source.read_text())
        if source.name == "__init__.py":
            text = '"""The client that blocks. Made of ``_async`` by ``make_sync.py``."""\n'
        if "--check" in sys.argv:
            if not target.exists() or target.read_text() != text:
                stale.append(target.name)
        else:
            target.write_text(text)
    if stale:
        print(f"not made of what _async has: {', '.join(stale)}; run make_sync.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
