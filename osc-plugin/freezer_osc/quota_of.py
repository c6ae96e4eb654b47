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

"""What the commands of quotas share: whose they are, and how they are shown."""

from openstack import exceptions as sdk_exceptions
from osc_lib.i18n import _

LIMITS = ('jobs', 'runs', 'stored_bytes', 'weight')


def add_project_argument(parser):
    parser.add_argument(
        '--project',
        metavar='<project>',
        help=_('Another project than yours (name or id); for administrators'),
    )


def service(app, wanted):
    """The service for the project that is meant."""
    own = app.client_manager.freezer
    return own.of_project(_id(app, wanted)) if wanted else own


def _id(app, wanted):
    try:
        found = app.client_manager.sdk_connection.identity.find_project(wanted)
    except sdk_exceptions.HttpException:
        # Who may not look projects up can still say an id; the service judges.
        found = None
    return found.id if found else wanted


def shown(document):
    """The limits that hold; of those that are not the operator's default it is said."""
    own = document['set']
    told = ', '.join(key for key in LIMITS if own.get(key) is not None)
    return (
        ('project_id',) + LIMITS + ('set',),
        (document['project_id'],) + tuple(document['quota'][key] for key in LIMITS) + (told,),
    )
