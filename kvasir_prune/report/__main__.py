"""`python -m kvasir_prune.report` prints the JSON schema of `report.json`."""

from __future__ import annotations

import json

from kvasir_prune.report.schema import Record

if __name__ == "__main__":
    print(json.dumps(Record.model_json_schema(), indent=2))
