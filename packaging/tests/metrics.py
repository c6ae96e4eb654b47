#!/usr/bin/python3
"""Names of metrics: what dashboard and alert rules ask for, and what services export."""

import json
import pathlib
import re

PACKAGING = pathlib.Path(__file__).resolve().parent.parent
NAME = re.compile(r'\bfreezer_[a-z_]+')


def dashboard_expressions():
    """All queries of the Grafana dashboard."""
    dashboard = json.loads((PACKAGING / 'grafana/freezer.json').read_text(encoding='utf-8'))
    return [target['expr'] for panel in dashboard['panels'] for target in panel['targets']]


def asked_for():
    """Names in the dashboard's queries and in the rules' expressions."""
    rules = (PACKAGING / 'prometheus/freezer.rules.yml').read_text(encoding='utf-8')
    text = '\n'.join(dashboard_expressions() + re.findall(r'^ *expr: (.*)$', rules, re.MULTILINE))
    return set(NAME.findall(text))


def exported(text):
    """Names of the samples in what /metrics answers."""
    return {match.group() for line in text.splitlines() if (match := NAME.match(line))}


def as_rules():
    """The dashboard's queries as a file of rules, for promtool to parse."""
    queries = (query.replace('$__rate_interval', '5m') for query in dashboard_expressions())
    return json.dumps({'groups': [{'name': 'dashboard', 'rules': [
        {'record': 'dashboard:%d' % place, 'expr': query}
        for place, query in enumerate(queries)]}]})


if __name__ == '__main__':
    print(as_rules())
