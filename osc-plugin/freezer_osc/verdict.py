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

"""Commands that show what came of a run; their exit status says whether it was a success."""

import sys

from osc_lib.command import command


class Verdict:
    """Prints the result also of a run that failed; then its error, and ends with status 1."""

    failure = None

    def run(self, parsed_args):
        status = super().run(parsed_args)
        if self.failure:
            sys.stderr.write(self.failure + '\n')
            return 1
        return status


class ShowVerdict(Verdict, command.ShowOne):
    """Of one thing."""


class ListVerdict(Verdict, command.Lister):
    """Of several."""
