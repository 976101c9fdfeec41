"""Write requirements.lock: resolve pyproject.toml afresh and pin what pip chose.

    python scripts/lock.py

Needs the package index that pip is set up for. The lines are `name==version`; addresses and hashes
are left out on purpose, so that a mirror serves as well. Resolve with Python 3.11, the oldest: what
it pins was installed on 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by scripts/lock.py on Python 3.11; for Python 3.11 to 3.13. Do not edit.\n"
OWN = "kvasir-prune"


def main() -> None:
    """Install into a throw-away environment and freeze it."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "setuptools>=77", f"{ROOT}[dev]"], check=True)
        frozen = subprocess.run(
            [*pip, "freeze", "--all"], check=True, capture_output=True, text=True
        ).stdout
    lines = [
        line for line in frozen.splitlines() if "==" in line and not line.startswith((OWN, "pip=="))
    ]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines)} packages pinned", file=sys.stderr)


if __name__ == "__main__":
    main()
