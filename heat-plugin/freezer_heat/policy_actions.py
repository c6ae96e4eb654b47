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

"""The actions of a protection policy's job.

Each server and volume is saved by an action of its own that is run whatever became of the others.
What is too old is removed at the end, and only if all of them were saved.
"""

import collections

# Options that the policy itself decides on.
OWN = (
    'action', 'mode', 'incremental', 'remove_older_than', 'cinder_vol_id', 'cinder_vol_name',
    'nova_inst_id', 'nova_inst_name', 'nova_inst_tag', 'nova_inst_metadata', 'project_id',
)

How = collections.namedtuple(
    'How', ('name', 'storage', 'container', 'max_level', 'keep_last', 'keep_days', 'options')
)


class What(collections.namedtuple('What', ('servers', 'tag', 'pair', 'volumes'))):
    """What is saved: servers by ids or by a mark, volumes by ids, given or found."""

    def modes(self):
        has_servers = self.servers or self.tag or self.pair
        return ['nova'] * bool(has_servers) + ['cinder'] * bool(self.volumes)

    def places(self, prefix):
        """For each thing that is saved: the options that name it, and the name of its backup."""
        if self.tag or self.pair:
            # The agent itself appends the ids.
            yield dict([('mode', 'nova'), mark_option(self.tag, self.pair)]), prefix
        else:
            for server_id in _once(self.servers):
                named = {'mode': 'nova', 'nova_inst_id': server_id}
                yield named, backup_name(prefix, server_id)
        for volume_id in _once(self.volumes):
            named = {'mode': 'cinder', 'cinder_vol_id': volume_id}
            yield named, backup_name(prefix, volume_id)


def mark_option(tag, pair):
    """The agent's option that finds servers by their mark, and its value."""
    return ('nova_inst_tag', tag) if tag else ('nova_inst_metadata', '%s=%s' % pair)


def backup_name(prefix, resource_id):
    return '%s_%s' % (prefix, resource_id)


def volumes_of(job):
    """Ids of the volumes that a policy's job saves by themselves."""
    options = [action['freezer_action'] for action in job['job_actions']]
    return {option['cinder_vol_id'] for option in options if option.get('cinder_vol_id')}


def build(what, how):
    """The job's actions, in their order."""
    places = list(what.places(how.name))
    actions = [_action(how, place, name, _saving(how), True) for place, name in places]
    keep = _keeping(how)
    if keep:
        actions += [_action(how, place, name, keep, False) for place, name in places]
    return actions


def _action(how, place, name, deed, is_mandatory):
    options = dict(how.options, storage=how.storage, container=how.container, backup_name=name)
    options.update(place)
    options.update(deed)
    return {'freezer_action': options, 'mandatory': is_mandatory}


def _saving(how):
    if not how.max_level:
        return {'action': 'backup', 'incremental': False}
    return {'action': 'backup', 'incremental': True, 'max_level': how.max_level}


def _keeping(how):
    if how.keep_last is not None:
        return {'action': 'admin', 'keep_last': how.keep_last}
    if how.keep_days is not None:
        return {'action': 'admin', 'remove_older_than': how.keep_days}
    return None


def _once(ids):
    return list(dict.fromkeys(ids))
