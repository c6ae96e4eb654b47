#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""Retention: the admin action that follows a job's backups and lets old ones go."""

from osc_lib import exceptions
from osc_lib.i18n import _

from freezer_osc import action_keys
from freezer_osc import when

PERIODS = (
    ('hourly', _('hours')),
    ('daily', _('days')),
    ('weekly', _('weeks')),
    ('monthly', _('months')),
    ('yearly', _('years')),
)
NO_RULES = _('Give a rule, such as --keep-last, --older-than or --keep-daily')
# Option of the commands and key of the action.
RULES = (
    ('keep_last', 'keep_last'),
    ('older_than', 'remove_older_than'),
    ('keep_full', 'fullbackup_rotation'),
    ('keep_hourly', 'keep_hourly'),
    ('keep_daily', 'keep_daily'),
    ('keep_weekly', 'keep_weekly'),
    ('keep_monthly', 'keep_monthly'),
    ('keep_yearly', 'keep_yearly'),
)


def add_arguments(parser):
    """The rules. Of several all must let a backup go."""
    parser.add_argument(
        '--keep-last',
        metavar='<count>',
        type=when.count,
        help=_('Keep the chains that hold this many newest backups'),
    )
    parser.add_argument(
        '--older-than',
        metavar='<days>',
        type=when.days,
        help=_('Remove chains whose newest backup is older than this'),
    )
    parser.add_argument(
        '--keep-full',
        metavar='<count>',
        type=when.count,
        help=_('Of Cinder\'s own backups: keep this many full ones'),
    )
    for period, text in PERIODS:
        parser.add_argument(
            '--keep-' + period,
            metavar='<count>',
            type=when.count,
            help=_('Keep the newest backup of this many %s (UTC) that have one') % text,
        )


def given(parsed_args):
    """The rules of the arguments, as keys of the action."""
    found = {key: getattr(parsed_args, option) for option, key in RULES}
    return {key: value for key, value in found.items() if value is not None}


def of_action(action):
    """The rules of an action."""
    return {key: action[key] for _option, key in RULES if action.get(key) not in (None, '')}


def text(rules):
    """The rules in words; dashes where there are none."""
    words = {
        'keep_last': _('keep the last %s'),
        'remove_older_than': _('remove what is older than %s days'),
        'fullbackup_rotation': _('keep %s full backups'),
    }
    words.update(('keep_' + period, _('keep one of %%s %s') % text) for period, text in PERIODS)
    return ', '.join(words[key] % value for key, value in rules.items()) or '-'


def backups_of(job):
    """The job's actions that make backups."""
    found = [entry['freezer_action'] for entry in job['job_actions']]
    found = [action for action in found if action.get('action') == 'backup']
    if not found:
        raise exceptions.CommandError(_('Job %s makes no backups') % job['job_id'])
    return found


def rotations_of(job):
    """The job's actions that let backups go."""
    found = [entry['freezer_action'] for entry in job['job_actions']]
    return [action for action in found if action.get('action') == 'admin']


def is_same(one, other):
    """Whether two actions are about the same backups."""
    return all(
        (one.get(key) or None) == (other.get(key) or None)
        for key in ('backup_name', 'container', 'storage', 'hostname')
    )


def rotation(backup, rules):
    """The admin action for what a backup action makes."""
    keys = (action_keys.PLACE, action_keys.REACH, action_keys.SECRETS, action_keys.RESOURCE)
    action = action_keys.taken(backup, *keys)
    action.update(rules, action='admin')
    return action


def to_apply(job, parsed_args):
    """Admin actions for the job's backups: by the arguments' rules, or else by the job's own."""
    rules = given(parsed_args)
    if rules:
        return [rotation(backup, rules) for backup in backups_of(job)]
    own = [rotation(action, of_action(action)) for action in rotations_of(job)]
    if not own:
        raise exceptions.CommandError(
            _('Job %(job)s has no retention. %(next)s')
            % {'job': job['job_id'], 'next': NO_RULES}
        )
    return own
