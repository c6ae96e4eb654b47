"""What a run's actions gave, made readable. Pure."""

import json

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import plans
from freezer_dashboard import retention
from freezer_dashboard import times

OUTCOMES = {
    'success': _('Success'), 'partial': _('Incomplete'), 'fail': _('Failed'),
    'aborted': _('Aborted'), 'lost': _('The agent was lost'), 'skipped': _('Not run'),
}
CLASSES = {'success': 'text-success', 'fail': 'text-danger', 'lost': 'text-danger',
           'partial': 'text-warning', 'aborted': 'text-warning'}
TITLES = {
    'backup_metadata': _('Backup'), 'report': _('Report'), 'restore': _('Restore'),
    'plan': _('Plan'), 'verify': _('Check'), 'info': _('Storage'), 'prune': _('Removed'),
    'removed': _('Removed'), 'hold': _('Pinned'), 'release': _('Let go'),
}
# What a plan shows as its table.
IN_PLAN = ('steps', 'refused')
# Of a list, this many lines are shown.
LINES = 100


def of_actions(run):
    """The run's actions, each with the attempts at it."""
    shown = []
    for index, action in enumerate(run.get('job_actions', [])):
        steps = [_step(step, run.get('log')) for step in run.get('steps', [])
                 if step['action_index'] == index]
        shown.append({'words': kinds.describe(action['freezer_action']), 'steps': steps,
                      'asked': facts.of(action['freezer_action'])})
    return shown


def _step(step, run_log):
    result = step.get('result') or {}
    plan, removals = plans.of(result), retention.planned(result)
    pairs, lists = [], []
    for key, value in result.items():
        title = TITLES.get(key) or facts.label(key)
        # The report says the same as the record and more.
        if key == 'backup_metadata' and 'report' in result:
            continue
        # It has a table.
        if key == 'plan' and removals is not None:
            continue
        if isinstance(value, dict):
            pairs.append((title, facts.of(value)))
            for name, inner in value.items():
                inner_title = '%s: %s' % (title, facts.label(name))
                if isinstance(inner, dict) and inner:
                    pairs.append((inner_title, facts.of(inner)))
                elif isinstance(inner, list) and inner:
                    if plan is not None and name in IN_PLAN:
                        continue
                    lists.append((inner_title, _lines(inner)))
        elif isinstance(value, list) and value:
            lists.append((title, _lines(value)))
    outcome = step.get('outcome')
    return {
        'attempt': step.get('attempt'), 'error': step.get('error'),
        'started': times.shown(step.get('started_at')),
        'finished': times.shown(step.get('finished_at')),
        'is_finished': times.moment(step.get('finished_at')) is not None,
        'outcome': OUTCOMES.get(outcome, outcome or _('At work')),
        'outcome_class': CLASSES.get(outcome, ''), 'results': pairs, 'lists': lists,
        # What is being done now has its lines in the run itself.
        'log': step.get('log') or ([] if outcome else run_log or []), 'is_at_work': not outcome,
        'plan': plans.table(plan) if plan is not None else None, 'removals': removals,
    }


def _lines(values):
    lines = [_line(value) for value in values[:LINES]]
    if len(values) > LINES:
        lines.append(_('and %d more') % (len(values) - LINES))
    return lines


def _line(value):
    if isinstance(value, dict):
        pairs = facts.of(value, {'kind': plans.KINDS})
        return ', '.join('%s: %s' % pair for pair in pairs) or json.dumps(value)
    return str(value)
