"""How the backups of a project stand, in a line: what is asked of the service for it, and in which words it is told."""

from django.conf import settings
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from freezer_dashboard import api
from freezer_dashboard import coverage
from freezer_dashboard import times
from freezer_dashboard.content.agents import tables as agent_tables
from freezer_dashboard.content.project_quotas import views as quotas

# Backups that are older are not looked at: a project may have any number of them.
DAYS = 30
UNKNOWN = _('not known')
ASKED = ('jobs', 'clients', 'newest', 'usage')


def questions(request, project_id):
    """What is asked for one project, by what it is about."""
    return dict(zip(ASKED, (
        lambda: api.job_list(request, project_id=project_id),
        lambda: api.client_list(request, project_id=project_id),
        lambda: newest_good(request, project_id),
        lambda: api.usage_show(request, project_id))))


def recent_seconds():
    return getattr(settings, 'FREEZER_RECENT_HOURS', 26) * 3600


def is_cut(found):
    """Whether a list may go on: no more is read of it than Horizon shows."""
    return len(found) >= settings.API_RESULT_LIMIT


def newest_good(request, project_id):
    """The time of the newest good backup, or None, and whether records were left out, the latest of them."""
    records = []
    # Most projects have a recent one among few.
    for seconds in (recent_seconds(), DAYS * 86400):
        records = api.backup_list(request, since=times.now() - seconds, project_id=project_id)
        good = [record['backup_metadata'].get('time_stamp') or 0
                for record in records if coverage.is_good(record)]
        if good:
            return max(good), is_cut(records)
    return None, is_cut(records)


class Project:
    """A project as a row. What could not be read is said to be unknown, where it would be."""

    def __init__(self, project_id, name, found):
        self.id = project_id
        self.name = name
        self.jobs = _told(found['jobs'], _counted)
        self.failed = _told(found['jobs'], _failed)
        self.agents = _told(found['clients'], self._agents)
        self.has_jobs = found['jobs'] != []
        self.newest = _told(found['newest'], self._newest)
        self.stored_bytes = _told(found['usage'], _stored)

    def _agents(self, clients):
        """Only its own: those that serve all projects would count in each of them."""
        agents = [agent_tables.Agent(client, self.id) for client in clients]
        own = [agent for agent in agents if agent.is_own]
        away = sum(1 for agent in own if agent.is_away)
        if not away:
            return str(len(own))
        return _marked(_('%(agents)d, %(away)d away') % {'agents': len(own), 'away': away})

    def _newest(self, found):
        """A project that saves something, and yet has nothing to show for it, is worth a look."""
        moment, has_later = found
        if moment is None:
            none = _('none in %d days') % DAYS
            return UNKNOWN if has_later else _marked(none) if self.has_jobs else none
        return _('%s or later') % times.shown(moment) if has_later else times.shown(moment)


def _told(answer, words):
    return UNKNOWN if isinstance(answer, api.ServiceError) else words(answer)


def _marked(text):
    return format_html('<span class="text-danger">{}</span>', text)


def _counted(jobs):
    return _('%d or more') % len(jobs) if is_cut(jobs) else str(len(jobs))


def _failed(jobs):
    failed = sum(1 for job in jobs if job['job_schedule'].get('result') == 'fail')
    if not failed:
        return UNKNOWN if is_cut(jobs) else '0'
    return _marked(_('%d or more') % failed if is_cut(jobs) else failed)


def _stored(usage):
    key = 'stored_bytes'
    return quotas.of_limit(usage[key], key) if key in usage else UNKNOWN
