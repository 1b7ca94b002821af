"""Reads figures from standard input with the parsers of the client library of Prometheus, and writes them as JSON: of each
family its kind, and of each line its name, its labels and its value. Fails where they are not what the format says."""

import json
import sys

from prometheus_client import openmetrics, parser
import prometheus_client.openmetrics.parser

read = {
    "text": parser.text_string_to_metric_families,
    "openmetrics": openmetrics.parser.text_string_to_metric_families,
}[sys.argv[1]]
families = [
    {"name": family.name, "kind": family.type, "help": family.documentation, "unit": family.unit,
     "lines": [{"name": line.name, "labels": line.labels, "value": line.value} for line in family.samples]}
    for family in read(sys.stdin.read())
]
json.dump(families, sys.stdout)
