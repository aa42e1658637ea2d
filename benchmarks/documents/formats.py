"""The cost of reading a file, by its format, in the process that reads it."""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.documents.texts import DATA, MEGABYTE, make_text
from chatproxy.documents.names import media_type

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from office_files import epub, open_document, pptx, row, shape, xlsx

# What a process does that reads a file, which then says what that took: seconds, and KiB.
READ: Final = """
import sys, time
from chatproxy.documents import worker
worker.main()
(line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(time.process_time(), line.split()[1], file=sys.stderr)
"""


@dataclass(frozen=True)
class FormatCost:
    """The cost of a file of one format in the process that reads it."""

    name: str
    megabytes: float  # of the file
    chunks: int
    cpu: float  # seconds
    memory: float  # MiB at most


def measure(megabytes: float) -> Iterator[FormatCost]:
    """Read a file of each format that holds about that much text."""
    sentences = re.split(r"(?<=[.?!;])\s+", (DATA / "devils-dictionary.txt").read_text())
    text = make_text(sentences, int(megabytes * MEGABYTE), random.Random(1))
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    paragraphs = escaped.split("\n\n")
    slides = [shape(*paragraphs[place : place + 3], kind="body") for place in range(0, len(paragraphs), 3)]
    rows = [[f"{number}", "Kiel", f"{number / 8}"] for number in range(len(text) // 22)]
    files: dict[str, bytes] = {
        "plain.txt": text.encode(),
        "sheet.xlsx": xlsx({"Rents": "".join(row(int(a), b, float(c)) for a, b, c in rows)}),
        "sheet.ods": open_document("spreadsheet", f"<table:table>{_odf_rows(rows)}</table:table>"),
        "slides.pptx": pptx(slides),
        "text.odt": open_document("text", "".join(f"<text:p>{each}</text:p>" for each in paragraphs)),
        "book.epub": epub({f"{n}.xhtml": f"<p>{each}</p>" for n, each in enumerate(_chapters(paragraphs))}),
        "text.rtf": b"{\\rtf1\\ansi " + text.replace("\n\n", "\\par\n").encode("cp1252", "replace") + b"}",
    }
    for name, content in files.items():
        yield _read(name, content)


def _odf_rows(rows: Sequence[Sequence[str]]) -> str:
    cell = "<table:table-cell><text:p>{}</text:p></table:table-cell>".format
    return "".join(f"<table:table-row>{''.join(map(cell, each))}</table:table-row>" for each in rows)


def _chapters(paragraphs: Sequence[str]) -> Iterator[str]:
    for place in range(0, len(paragraphs), 40):
        yield "</p><p>".join(paragraphs[place : place + 40])


def _read(name: str, content: bytes) -> FormatCost:
    """Read a file in a process as `worker` starts them, and return what that process took."""
    with TemporaryDirectory(prefix="bench") as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        with path.open("rb") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", READ, media_type(name)],
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            out, said = process.communicate()
    batches = [json.loads(line) for line in out.splitlines()]
    cpu, memory = map(float, said.split())
    chunks = sum(len(batch) for batch in batches if isinstance(batch, list))
    return FormatCost(name.rpartition(".")[2].upper(), len(content) / MEGABYTE, chunks, cpu, memory / 1024)
