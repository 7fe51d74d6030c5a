"""What the file store of Rosefield and Cebulko and the exercise IIC2523 were for: files that are
found by a name, fetched in verified chunks from whoever has them, and shared onward.

Run it: python examples/share_files.py
"""

import os
import tempfile
from pathlib import Path

import qadom

with tempfile.TemporaryDirectory() as place:
    source, target = Path(place) / "holiday.raw", Path(place) / "fetched.raw"
    source.write_bytes(os.urandom(3_000_000))
    with qadom.Daemon() as first, qadom.Daemon(join=[first.address]) as second:
        with first.client() as here, second.client() as there:
            shared = here.files.add(source, name="holiday")
            print("shared", shared.size, "bytes in", shared.chunks, "chunks")

            def told(progress: qadom.FileProgress) -> None:
                print(f"{progress.phase}: {progress.done} of {progress.size}")

            there.files.get("holiday", output=target, progress=told)
            print("the same:", target.read_bytes() == source.read_bytes())
            print("holders:", there.files.status(shared.id).holders)
