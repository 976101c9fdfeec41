"""Keep the trials of sweeps, and print the tables of docs/chapter4.md of those that are kept.

python scripts/chapter4.py           the tables
python scripts/chapter4.py sweeps    keep the trials of these sweeps first
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chapter4.document import sections
from chapter4.kept import keep
from kvasir_prune.errors import KvasirPruneError

if __name__ == "__main__":
    try:
        for folder in sys.argv[1:]:
            keep(Path(folder))
    except KvasirPruneError as error:
        sys.exit(f"chapter4: {error}")
    print("\n".join(sections()))
