"""Refusals of the service, as the command's user reads them."""

import unittest

from osc_lib import exceptions
import requests

from freezer_osc import find
from freezer_osc import service


def answer(status, body, **headers):
    found = requests.Response()
    found.status_code, found._content, found.reason = status, body.encode(), 'Reason'
    found.headers.update(headers)
    return found


class RefusalTest(unittest.TestCase):

    def test_the_services_own_words(self):
        for status, body, text in (
            (400, '{"title": "t", "description": "say why"}', 'say why (HTTP 400)'),
            (404, '', 'Reason (HTTP 404)'),
            (401, '{"error": {"message": "log in"}}', 'log in (HTTP 401)'),
            (502, '<html>', 'Reason (HTTP 502), req-1'),
        ):
            error = service._error(answer(status, body, **{'x-openstack-request-id': 'req-1'}))
            self.assertEqual(text, str(error))
            self.assertIsInstance(error, exceptions.CommandError)
            self.assertEqual(status == 404, isinstance(error, service.NotThere))


class Records:
    """A service with a few backup records and jobs."""

    def __init__(self, *rows):
        self.rows = rows

    def find(self, *path):
        return None

    def list(self, *path, search=None, limit=None):
        return iter(self.rows)


def record(moment, container='c', **more):
    return {
        'backup_id': str(moment),
        'backup_metadata': dict(
            {'time_stamp': moment, 'container': container, 'hostname': 'h', 'storage': 'swift'},
            **more
        ),
    }


class FindTest(unittest.TestCase):

    def test_the_newest_backup_with_data(self):
        records = Records(record(1), record(3), record(2), record(4, dry_run=True))
        self.assertEqual('3', find.backup(records, 'name')['backup_id'])

    def test_names_of_several_things(self):
        with self.assertRaisesRegex(
            exceptions.CommandError, 'host h, container c .*; host h, container d'
        ):
            find.backup(Records(record(1), record(2, 'd')), 'name')
        jobs = Records(*({'job_id': job, 'description': 'twin'} for job in 'ab'))
        with self.assertRaisesRegex(exceptions.CommandError, 'More than one job .* ids a, b'):
            find.job(jobs, 'twin')
