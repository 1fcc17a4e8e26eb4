"""`python -m tests.docs.gallery`: run the commands of docs/gallery.md as printed, which draws its pictures anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from metriq_gym.client.session import Session
from metriq_gym.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"
FOLDER = PAGE.parent / "gallery"


def blocks() -> list[str]:
    """Return the page's blocks of commands."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(block: str, data: Path, pictures: Path = FOLDER) -> None:
    """Run a block of commands with their data in one folder, and their pictures in another."""
    with tempfile.TemporaryDirectory() as folder:
        commands = block.replace("docs/gallery/", f"{pictures}/")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("METRIQ_")}
        environment |= {"METRIQ_DATA_DIR": str(data), "PATH": path}
        subprocess.run(["bash", "-euc", commands], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Run all of them; one private database serves all."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        session = Session(Settings(data_dir=data, workers=1))
        try:
            session.on_store(lambda store: store.answers())
            for block in blocks():
                run(block, data)
        finally:
            session.close()


if __name__ == "__main__":
    main()
