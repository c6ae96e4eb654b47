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

"""Options of the tests, in [freezer] and [service_available] of tempest.conf."""

from oslo_config import cfg

# The same as in Freezer's own plugin, beside which this one may be installed.
service_option = cfg.BoolOpt(
    'freezer', default=True, help='Whether or not freezer is expected to be available'
)

group = cfg.OptGroup(name='freezer', title='Options of the backup service')

options = [
    cfg.StrOpt('catalog_type', default='backup', help='Type of the service in the catalog.'),
    cfg.StrOpt(
        'region', default='', help='Region of the service; empty is the region of [identity].'
    ),
    cfg.StrOpt(
        'endpoint_type',
        default='publicURL',
        choices=['public', 'admin', 'internal', 'publicURL', 'adminURL', 'internalURL'],
        help='Endpoint to use.',
    ),
    cfg.IntOpt('build_timeout', default=120, help='Seconds that a run may take.'),
    cfg.StrOpt(
        'agent_program',
        help='Path of freezer-agent. The scenarios start an agent with it, beside the tests.',
    ),
    cfg.StrOpt(
        'central_client',
        help='Id of a central client, for the scenarios of volumes.',
    ),
    cfg.StrOpt(
        'boot_line',
        default='',
        help='What the guest of [compute] image_ref writes on its console when it starts, with %d '
        'in the place of how often its disk has been started; it must keep that number on the '
        'disk. Empty: what is on the disk of a restored server is not looked at.',
    ),
]
