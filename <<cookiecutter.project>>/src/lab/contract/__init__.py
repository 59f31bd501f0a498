"""The contract: what `lab` knows of a project. It is data, in lab.yaml at the project's root.

from lab.contract import read
read(Path(".")).metric("evaluate.score").title
"""

from lab.contract.file import FILE, json_schema, parse, read
from lab.contract.metrics import Metric
from lab.contract.models import Contract

__all__ = ["FILE", "Contract", "Metric", "json_schema", "parse", "read"]
