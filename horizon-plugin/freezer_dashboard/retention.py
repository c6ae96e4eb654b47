"""Rules that let old backups go: of a job, in words, and what they would remove. Pure."""

from django.utils.translation import gettext_lazy as _

from freezer_dashboard import action_keys
from freezer_dashboard import facts
from freezer_dashboard import kinds
from freezer_dashboard import times

# Keys of an action, as a form asks for them.
RULES = (
    ('keep_last', _('Newest Backups to Keep')),
    ('keep_hourly', _('One Each of the Last Hours')),
    ('keep_daily', _('One Each of the Last Days')),
    ('keep_weekly', _('One Each of the Last Weeks')),
    ('keep_monthly', _('One Each of the Last Months')),
    ('keep_yearly', _('One Each of the Last Years')),
    ('remove_older_than', _('Only What Is Older than Days')),
)
# Those that a form here does not ask for.
OTHERS = (
    ('remove_from_date', _('Only What Is Older than (UTC)')),
    ('fullbackup_rotation', _('Full Cinder Backups to Keep')),
)
DEEDS = {'remove': _('Goes'), 'keep': _('Stays')}


def of_action(action):
    """The rules of an action."""
    return {key: action[key] for key, _label in RULES + OTHERS if action.get(key) not in (None, '')}


def words(action):
    """The rules of an action, as people read them."""
    rules = of_action(action)
    return ', '.join('%s: %s' % (label, rules[key]) for key, label in RULES + OTHERS if key in rules)


def of_job(job):
    """The job's actions that remove old backups."""
    actions = [entry['freezer_action'] for entry in job['job_actions']]
    return [action for action in actions if action.get('action') == 'admin' and of_action(action)]


def backups_of(job):
    """The job's actions that save something."""
    actions = [entry['freezer_action'] for entry in job['job_actions']]
    return [action for action in actions if action.get('action', 'backup') == 'backup']


def removals(job, rules):
    """Actions that remove by these rules what the job saves, or by the job's own. They tell no secret:
    what is wished travels in an address."""
    return [_removal(action, rules or of_action(action))
            for action in (backups_of(job) if rules else of_job(job))]


def replaced(job, rules):
    """The job's actions with these rules in the place of its own."""
    kept = [entry for entry in job['job_actions']
            if entry['freezer_action'].get('action') != 'admin' or
            not of_action(entry['freezer_action'])]
    return kept + [{'freezer_action': _removal(action, rules, action_keys.SECRETS)}
                   for action in backups_of(job)]


def can_be_set(job):
    """Whether rules can be given to a job here: those of Cinder's own backups are others."""
    return bool(backups_of(job)) and all(
        kinds.mode_of(action) != 'cindernative' for action in backups_of(job))


def _removal(action, rules, *more):
    groups = (action_keys.PLACE, action_keys.REACH, action_keys.RESOURCE) + more
    return dict(action_keys.taken(action, *groups), action='admin', **rules)


def recorded(plan):
    """The service's plan, made from its records, as one table a name."""
    return [{
        'name': one['backup_name'], 'container': one['container'],
        'rows': [_row(deed, chain['chain_time_stamp'], chain['levels'], chain['reason'],
                      chain.get('bytes_stored'))
                 for deed in ('remove', 'keep') for chain in one[deed]],
    } for one in plan['backups']]


def totals(plan):
    """Backups and bytes that would go."""
    gone = [chain for one in plan['backups'] for chain in one['remove']]
    return (sum(chain['levels'] for chain in gone),
            sum(chain.get('bytes_stored') or 0 for chain in gone))


def planned(result):
    """What an agent has planned to remove, as rows; None when a step's result holds no such plan."""
    plan = result.get('plan')
    parts = plan if isinstance(plan, list) else [plan]
    if not parts or not all(_is_plan(part) for part in parts):
        return None
    rows = []
    for part in parts:
        for one in [part['set']] + part['members'] if 'set' in part else [part]:
            rows += _of_cinder(one) if 'skipped' in one else [
                dict(_row(deed, chain['chain_timestamp'], len(chain['levels']), chain['reason']),
                     name=one['hbn']) for deed in ('remove', 'keep') for chain in one[deed]]
    return rows


def _is_plan(part):
    return isinstance(part, dict) and ('set' in part or 'remove' in part and 'keep' in part)


def _of_cinder(plan):
    """Cinder's own backups: a full one with its increments."""
    rows = [dict(_row('remove', chain['newest_secs'], len(chain['backups'])), name=chain['full'])
            for chain in plan['remove']]
    rows += [dict(_row('keep', None, '-'), name=full) for full in plan['keep']]
    return rows + [dict(_row('keep', None, '-', reason), name='-') for reason in plan['skipped']]


def _row(deed, since, levels, reason='', stored=None):
    return {'deed': DEEDS[deed], 'is_removed': deed == 'remove', 'since': times.shown(since),
            'levels': levels, 'reason': reason, 'stored': facts.people(stored)}
