"""Print the tables of docs/chapter4.md from finished sweeps: python scripts/chapter4.py sweeps."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chapter4.document import sections

if __name__ == "__main__":
    print("\n".join(sections(Path(sys.argv[1] if len(sys.argv) > 1 else "sweeps"))))
