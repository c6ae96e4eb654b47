"""Resources of Neutron and Nova with a test's word for a name; they end with the test."""

import time
import urllib.error
import urllib.parse

PATIENCE_SECONDS = 600


class Cloud:
    """What the project of a login has of this name."""

    def __init__(self, service, word):
        self.service, self.word = service, word
        self.neutron = service.endpoint('network') + '/v2.0'
        self.nova = service.endpoint('compute')

    def named(self, kind, word=None):
        """Ids of what Neutron has of a kind under this name."""
        plural = kind.replace('_', '-') + 's'
        found = self.service.other('GET', '%s/%s?%s' % (
            self.neutron, plural, urllib.parse.urlencode({'name': word or self.word})))
        return [one['id'] for one in found[kind + 's']]

    def group(self):
        """A security group with a rule."""
        made = self._neutron('security_group', name=self.word, description='of ' + self.word)
        self._neutron('security_group_rule', security_group_id=made, direction='ingress',
                      protocol='tcp', port_range_min=8080, port_range_max=8081)
        return made

    def ports_of_rules(self, group):
        """Which ports the rules of a group are about."""
        found = self.service.other('GET', '%s/security-groups/%s' % (self.neutron, group))
        return [(rule['port_range_min'], rule['port_range_max'])
                for rule in found['security_group']['security_group_rules']
                if rule['protocol'] == 'tcp']

    def network(self):
        """A network with a subnet."""
        made = self._neutron('network', name=self.word)
        self._neutron('subnet', name=self.word, network_id=made, ip_version=4,
                      cidr='192.0.2.0/24', enable_dhcp=False, gateway_ip=None)
        return made

    def server(self, network):
        image = self.service.other('GET', self.service.endpoint('image') +
                                   '/v2/images?name=tiny')['images'][0]['id']
        flavors = self.service.other('GET', self.nova + '/flavors')['flavors']
        flavor = next(one['id'] for one in flavors if one['name'] == 'tiny')
        made = self.service.other('POST', self.nova + '/servers', {'server': {
            'name': self.word, 'imageRef': image, 'flavorRef': flavor,
            'networks': [{'uuid': network}]}})['server']['id']
        self.until(lambda: self._server(made)['status'] == 'ACTIVE', 'the server')
        return made

    def servers(self):
        """Ids by name of the servers that have the word in their name."""
        found = self.service.other('GET', '%s/servers?%s' % (
            self.nova, urllib.parse.urlencode({'name': self.word})))['servers']
        return {one['name']: one['id'] for one in found}

    def status(self, server):
        return self._server(server)['status']

    def networks_of(self, server):
        found = self.service.other('GET', '%s/ports?device_id=%s' % (self.neutron, server))
        return [port['network_id'] for port in found['ports']]

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise AssertionError('waited in vain for ' + what)
            time.sleep(0.5)

    def remove(self, kind, one):
        self.service.other('DELETE', '%s/%ss/%s' % (self.neutron, kind.replace('_', '-'), one))

    def forget(self):
        """Servers first, as they hold ports; then what they were plugged into."""
        for server in self.servers().values():
            self.service.other('DELETE', '%s/servers/%s' % (self.nova, server))
        self.until(lambda: not self.servers(), 'the servers to be gone')
        for network in self.named('network'):
            for port in self.service.other('GET', '%s/ports?network_id=%s' % (
                    self.neutron, network))['ports']:
                self.remove('port', port['id'])
            self.remove('network', network)
        for group in self.named('security_group'):
            self.remove('security_group', group)

    def _neutron(self, kind, **values):
        where = '%s/%ss' % (self.neutron, kind.replace('_', '-'))
        return self.service.other('POST', where, {kind: values})[kind]['id']

    def _server(self, server):
        try:
            return self.service.other('GET', '%s/servers/%s' % (self.nova, server))['server']
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return {'status': 'gone'}
