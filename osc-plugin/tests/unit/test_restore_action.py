"""From a record and a command line to the action of a restore."""

import argparse
import unittest

from osc_lib import exceptions

from freezer_osc import restore_action


def built(mode, *words, **more):
    parser = argparse.ArgumentParser()
    restore_action.add_backup_arguments(parser)
    restore_action.add_target_arguments(parser)
    parsed = parser.parse_args(['db', *words])
    metadata = {'mode': mode, 'storage': 'local', 'backup_name': 'db', 'hostname': 'h', **more}
    action = restore_action.build(None, {'backup_metadata': metadata}, parsed)
    restore_action.add_target(action, parsed)
    return action


class TargetTest(unittest.TestCase):

    def test_what_becomes_files_goes_into_a_folder(self):
        for mode in ('fs', 'cloud', 'stream', 'mysql', 'postgresql', 'mongo', 'sqlserver'):
            action = built(mode, '--to', '/new')
            self.assertEqual((mode, '/new'), (action['mode'], action['restore_abs_path']))
            with self.assertRaisesRegex(exceptions.CommandError, 'Say with --to'):
                built(mode)
        with self.assertRaisesRegex(exceptions.CommandError, '--to is not for .* mode nova'):
            built('nova', '--to', '/new')

    def test_the_files_of_a_server_come_back_as_one(self):
        action = built('mysql', '--to', '/new', mysql_form='physical')
        self.assertEqual('physical', action['mysql_form'])
        self.assertNotIn('mysql_form', built('mysql', '--to', '/new'))

    def test_a_server_with_logs_needs_an_empty_folder(self):
        for mode in ('postgresql', 'sqlserver'):
            with self.assertRaisesRegex(exceptions.CommandError, '--overwrite is not for'):
                built(mode, '--to', '/new', '--overwrite')
        self.assertIs(True, built('stream', '--to', '/new', '--overwrite')['overwrite'])

    def test_a_sql_server_takes_it_without_a_folder(self):
        into_server = ('--property', 'load_into_server=true')
        self.assertNotIn('restore_abs_path', built('sqlserver', *into_server))
        with self.assertRaisesRegex(exceptions.CommandError, 'Say with --to'):
            built('mongo', *into_server)

    def test_a_record_without_a_mode_is_of_files(self):
        action = built('', '--to', '/new')
        self.assertEqual('/new', action['restore_abs_path'])
        self.assertNotIn('mode', action)
