"""A restore, or a removal of old backups, on its way from the form over the plan to the job: signed, so
that nobody changes it.

What was wished travels in the address of the page that asks for confirmation. It carries nothing
that the user may not see, and the service checks all of it again.
"""

from django.core import signing
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from freezer_dashboard import documents
from freezer_dashboard import kinds

SALT = 'freezer_dashboard.restore'
AGE_SECONDS = 86400
# Where a check of files would write to, if it wrote.
CHECK_FOLDER = '/nonexistent/check-of-a-backup'
POLLS = _('This agent fetches its work itself, as schedulers of Freezer in Python do: it could take a '
          'plan for an order. Choose another agent.')


def sealed(client_id, action):
    return signing.dumps([client_id, action], salt=SALT, compress=True)


def opened(text):
    """Agent and action, or None when the text is not ours or too old."""
    try:
        client_id, action = signing.loads(text, salt=SALT, max_age=AGE_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return client_id, action


def confirm_url(client_id, action):
    action = {key: value for key, value in action.items()
              if key != 'dry_run' and value is not None}
    return '%s?%s' % (reverse('horizon:project:backup_backups:confirm'),
                      urlencode({'restore': sealed(client_id, action)}))


def tried(run):
    """The action of a run that was a check, or a plan of a restore or a removal; else None."""
    actions = [action['freezer_action'] for action in run.get('job_actions', [])]
    if len(actions) != 1:
        return None
    is_tried = actions[0].get('action') in ('restore', 'admin') and actions[0].get('dry_run')
    return actions[0] if is_tried or actions[0].get('action') == 'verify' else None


def check(record, reach=(), can_verify=False):
    """The action that reads a backup back and writes nothing.

    An agent that does not know how reads backups of files only, and looks at others.
    """
    mode = kinds.mode_of(record['backup_metadata'])
    if can_verify and mode != 'cindernative':
        return dict(documents.restore_action(record, dict(reach)), action='verify')
    wishes = dict(reach, dry_run=True)
    if mode == 'fs':
        wishes['restore_abs_path'] = CHECK_FOLDER
    return documents.restore_action(record, wishes)


def is_check(action):
    """Whether the run was for checking the backup, not for looking at a plan."""
    return action['action'] == 'verify' or action.get('restore_abs_path') == CHECK_FOLDER


def is_read_back(action):
    """Whether all data were read; else it was looked whether they are there."""
    return action['action'] == 'verify' or kinds.mode_of(action) == 'fs'
