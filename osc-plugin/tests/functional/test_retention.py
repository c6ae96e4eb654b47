"""Retention: list, set, plan, apply, unset."""

import os

from tests.functional import base


class RetentionTest(base.FunctionalTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.job_id = cls.world.saved('kept', times=3)

    def test_a_jobs_retention(self):
        self.refused('retention', 'unset', 'kept', text='has no retention')
        self.refused('plan', 'retention', 'kept', text='has no retention')
        self.do('retention', 'set', 'kept', '--keep-last', '1')
        self.do('retention', 'set', 'kept', '--keep-last', '2')
        (row,) = [row for row in self.json('retention', 'list') if row['Job'] == self.job_id]
        self.assertEqual(('kept', 'keep the last 2'), (row['Backup Name'], row['Retention']))
        plan = self.json('plan', 'retention', self.job_id)
        self.assertEqual(['keep', 'keep', 'remove'], sorted(row['Decision'] for row in plan))
        self.assertEqual(3, self._stored())
        oldest = self.world.record('kept')
        (removed,) = self.json('retention', 'apply', 'kept', '--keep-last', '1')
        self.assertEqual(
            ('kept', 2, 2), (removed['Backup Name'], removed['Chains'], removed['Levels'])
        )
        self.assertEqual(1, self._stored())
        # What is gone is not made up for by another state.
        target = os.path.join(self.world.folder, 'gone')
        answer = self.world.run('member', 'backup', 'restore', oldest, '--to', target, '--wait')
        self.assertEqual(1, answer.status)
        self.assertTrue(answer.err.strip())
        self.assertNotIn('Traceback', answer.err)
        self.assertFalse(os.path.exists(target))
        # By days there is one to keep, however many backups this day has.
        self.do('retention', 'set', 'kept', '--keep-daily', '7', '--keep-monthly', '12')
        (row,) = [row for row in self.json('retention', 'list') if row['Job'] == self.job_id]
        self.assertEqual('keep one of 7 days, keep one of 12 months', row['Retention'])
        plan = self.json('plan', 'retention', 'kept')
        self.assertEqual(['keep'], [row['Decision'] for row in plan])
        self.do('retention', 'unset', 'kept')
        (row,) = [row for row in self.json('retention', 'list') if row['Job'] == self.job_id]
        self.assertEqual('-', row['Retention'])

    def _stored(self):
        return len(self.json('plan', 'retention', 'kept', '--keep-last', '9'))

    def test_a_reader_may_not(self):
        self.refused(
            'retention', 'set', 'kept', '--keep-last', '1', user='reader', text='(HTTP 403)'
        )
        self.refused(
            'retention', 'apply', 'kept', '--keep-last', '1', user='reader', text='(HTTP 403)'
        )

    def test_another_project_sees_nothing(self):
        self.assertEqual([], self.json('retention', 'list', user='stranger'))
        for name in ('kept', self.job_id):
            for command in (
                ('retention', 'set', name, '--keep-last', '1'),
                ('retention', 'unset', name),
                ('retention', 'apply', name, '--keep-last', '1'),
                ('plan', 'retention', name, '--keep-last', '1'),
            ):
                self.refused(
                    *command,
                    user='stranger',
                    text='No job with a name or id of "%s" exists' % name,
                )

    def test_bad_input(self):
        self.refused('retention', 'set', 'kept', text='Give a rule, such as --keep-last')
        self.refused(
            'retention',
            'set',
            'kept',
            '--keep-last',
            '0',
            status=2,
            text='"0" is not a whole number above 0',
        )
        self.refused(
            'retention',
            'set',
            'kept',
            '--older-than',
            'old',
            status=2,
            text='"old" is not a number of days',
        )
