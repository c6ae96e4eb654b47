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

"""What planning retention and applying it share: a run for each of the job's backups."""

from osc_lib.i18n import _

from freezer_osc import find
from freezer_osc import follow
from freezer_osc import one_shot
from freezer_osc import retention_rules
from freezer_osc import verdict


class RetentionRun(verdict.ListVerdict):
    """A command about the backups of a job, by rules of its own or by the job's."""

    # What a scheduler that polls would do wrong.
    polls = None

    def get_parser(self, prog_name):
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'job', metavar='<job>', help=_('Job whose backups are meant (name or id)')
        )
        retention_rules.add_arguments(parser)
        return parser

    def results(self, parsed_args, title, **more):
        """Each action with what its run gave."""
        service = self.app.client_manager.freezer
        job = find.job(service, parsed_args.job)
        actions = retention_rules.to_apply(job, parsed_args)
        agent = find.agent(service, job['client_id'])
        one_shot.ensure_driven(agent, self.polls)
        for action in actions:
            run = one_shot.run(service, agent, dict(action, **more), title % job['job_id'])
            self.failure = self.failure or follow.failure(run)
            yield action, one_shot.last_result(run)
