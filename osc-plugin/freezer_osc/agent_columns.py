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

"""How an agent is shown."""

from freezer_osc import columns

LIST = (
    ('client_id', 'ID'),
    ('hostname', 'Host'),
    ('is_central', 'Central'),
    ('link', 'Link'),
    ('last_seen_at', 'Last Seen'),
)
LONG = (
    ('agent_version', 'Version'),
    ('supported_actions', 'Actions'),
    ('supported_modes', 'Modes'),
    ('supported_storages', 'Storages'),
    ('supported_engines', 'Engines'),
)


def value(client, key):
    """One value of an agent. An agent that polls never says hello, so nobody has seen it."""
    found = client.get(key)
    if key == 'last_seen_at':
        return columns.Time(found)
    if isinstance(found, list):
        return columns.Words(found)
    return found
